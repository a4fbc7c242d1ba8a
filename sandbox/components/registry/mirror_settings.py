"""Upstream registries, and the configuration of CNCF distribution as a pull-through cache of one of them."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from sandbox.oci.credential import Credential
from sandbox.oci.reference import DOCKER_HUB, DOCKER_HUB_API


@dataclass(frozen=True)
class Upstream:
    """`name` is the first part of its images' names, `url` the address of its API."""

    name: str
    url: str


def parse_upstream(text: str) -> Upstream:
    """Read `HOST[:PORT]`, which is reached by https, or a URL of that, which may also be http."""
    scheme, _, name = text.rpartition("://")
    return Upstream(name, f"https://{DOCKER_HUB_API}" if name == DOCKER_HUB else f"{scheme or 'https'}://{name}")


# Without an account distribution would ask the upstream at its start how to sign in, and not start where that cannot be
# reached. A helper program for accounts that does not exist is run later, if ever, and then there is no account.
_ANONYMOUS = {"exec": {"command": "anonymous"}}


def settings(upstream: Upstream, account: Credential | None, *, data: str, port: int) -> bytes:
    """Return the configuration file, which contains the account's password. Pulled images are kept for a week."""
    signed_in = {"username": account.username, "password": account.password} if usable(account) and account else None
    content = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": data}, "delete": {"enabled": True}},
        "http": {"addr": f":{port}"},
        "proxy": {"remoteurl": upstream.url, **(signed_in or _ANONYMOUS)},
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


def usable(account: Credential | None) -> bool:
    """Tell whether distribution can sign in with the account: it takes a name and a password, and no tokens."""
    return bool(account and account.username and account.password)
