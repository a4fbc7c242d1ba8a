"""The settings of CNCF distribution as a pull-through cache of one upstream registry."""

from __future__ import annotations

import yaml

from sandbox.oci.credential import Credential
from sandbox.oci.upstream import Upstream

# Without an account distribution would ask the upstream at its start for how to sign in, and not start where that
# cannot be reached. A program for accounts which does not exist is asked later, if ever, and then there is no account.
_ANONYMOUS = {"exec": {"command": "anonymous"}}


def settings(upstream: Upstream, account: Credential | None, *, data: str, port: int) -> bytes:
    """Return the configuration file, with the account's password in it.

    What was pulled is kept for distribution's week.
    """
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
    """Tell whether distribution can sign in with it: it takes a name and a password, and no tokens."""
    return bool(account and account.username and account.password)
