"""The `docker-credential-*` programs: a registry's name goes in by stdin, its account comes out by stdout.

The protocol is that of docker-credential-helpers; nothing secret is ever an argument, and nothing a helper says is
repeated, because it may be the secret.
"""

from __future__ import annotations

import json
import re

from sandbox.errors import MissingTool
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import process

SECONDS = 60.0
IDENTITY_USER = "<token>"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ABSENT = ("credentials not found", "no credentials")


def get(helper: str, server: str) -> Credential | None:
    """Return the account the helper has for `server`, None when it has none. Raises CredentialsUnusable."""
    program = f"docker-credential-{helper}"
    if not _NAME.fullmatch(helper):
        raise _unusable("Docker's config.json", server, "it names a credential helper that is no program's name")
    try:
        output = process.run([program, "get"], timeout=SECONDS, stdin=server)
    except MissingTool:
        raise _unusable(program, server, "there is no such program on the PATH") from None
    except process.ToolFailed as error:
        if any(words in error.details.lower() for words in _ABSENT):
            return None
        raise _unusable(program, server, f"it failed with status {error.status}") from None
    account = _read(output)
    if account is None:
        raise _unusable(program, server, "its answer is not an account")
    return account


def _read(output: str) -> Credential | None:
    """Return the account in an answer; lines before it, such as warnings on stderr, are passed over."""
    try:
        content, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
        username, secret = content["Username"], content["Secret"]
    except (ValueError, KeyError):
        return None
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return None
    return Credential(identity=secret) if username == IDENTITY_USER else Credential(username, secret)


def _unusable(program: str, server: str, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(
        f"{program} gives no credentials for {server}",
        details=reason,
        fix="sign in again with docker login, or correct credsStore and credHelpers in Docker's config.json",
    )
