"""The accounts of an entry and how long they are valid; key files and clouds' libraries that they are made with.

The libraries are extras of the installation, imported only when an entry of their kind is used.
"""

import base64
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sandbox.config import json_text
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.docker_config import HUB_KEY
from sandbox.system import files

_EXTRAS = {
    "ecr": ("AWS's", "botocore", ("botocore",)),
    "gcr": ("Google's", "google-auth", ("google",)),
    "acr": ("Microsoft's", "azure-identity", ("azure", "msal")),
}


def read_key_file(path: Path, *, made_by: str) -> Mapping[str, Any]:
    """Return the object in the file. Raises CredentialsUnusable; `made_by` is the command that writes such a file."""
    try:
        content = json_text.document(files.read_regular(path))
    except (files.NotAFile, OSError, ValueError) as error:
        raise unusable_file(path, files.trouble(error), made_by=made_by) from None
    if not isinstance(content, dict):
        raise unusable_file(path, "it is not a JSON object", made_by=made_by)
    return content


def key_text(path: Path, content: Mapping[str, Any], *names: str, made_by: str) -> str:
    for name in names:
        if isinstance(content.get(name), str) and content[name]:
            return str(content[name])
    raise unusable_file(path, f"it has no {names[0]}", made_by=made_by)


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Import an extra's library in the block, without its logs, which contain headers and answers."""
    owner, package, loggers = _EXTRAS[extra]
    try:
        yield
    except ImportError as error:
        raise CredentialsUnusable(
            f"{owner} library is not installed",
            details=f"credentials of kind {extra} need {package}: {error}",
            fix=install_command(extra),
        ) from None
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def install_command(extra: str) -> str:
    """Return the command that installs an extra, in the way that this sandbox was installed."""
    by_pipx = (Path(sys.prefix) / "pipx_metadata.json").exists()
    command = "pipx runpip kube-sandbox install" if by_pipx else f"{sys.executable} -m pip install"
    return f"{command} 'kube-sandbox[{extra}]'"


def unusable_file(path: Path, reason: str, *, made_by: str) -> CredentialsUnusable:
    return CredentialsUnusable(f"{path} cannot be used", details=reason, fix=f"{made_by} writes such a file")


@dataclass(frozen=True)
class Login:
    """Names with passwords by registry, whose hosts may contain `*`; without `expires` they are valid until changed."""

    accounts: Mapping[str, Credential]
    issued: datetime
    expires: datetime | None = None

    def find(self, host: str) -> Credential | None:
        return next((account for pattern, account in self.accounts.items() if matches(pattern, host)), None)

    @property
    def auths(self) -> dict[str, dict[str, str]]:
        """Return `auths` of Docker's config.json, which the kubelet and pull Secrets use too."""
        return {
            HUB_KEY if host == "docker.io" else host: {
                "username": account.username,
                "password": account.password,
                "auth": base64.b64encode(f"{account.username}:{account.password}".encode()).decode(),
            }
            for host, account in self.accounts.items()
        }


def matches(pattern: str, host: str) -> bool:
    """Compare a registry's host, where `*` stands for a part within one label, as in the kubelet (KEP-2133)."""
    labels, given = pattern.split("."), host.split(".")
    return len(labels) == len(given) and all(map(fnmatchcase, given, labels))
