"""Accounts in the form of Docker's config.json, which the kubelet and Kubernetes' pull Secrets use too."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from sandbox.oci.credential import Credential
from sandbox.oci.docker_config import HUB_KEY


def auths(accounts: Mapping[str, Credential]) -> dict[str, dict[str, str]]:
    """Return the content of `auths`; Docker Hub is named by the address of its first version."""
    return {
        HUB_KEY if host == "docker.io" else host: {
            "username": account.username,
            "password": account.password,
            "auth": base64.b64encode(f"{account.username}:{account.password}".encode()).decode(),
        }
        for host, account in accounts.items()
    }
