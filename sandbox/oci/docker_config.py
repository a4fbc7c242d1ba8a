"""The accounts made by `docker login`: Docker's config.json and the helpers it names.

Helpers are the `docker-credential-*` programs: a registry's name goes in by stdin, its account comes out by stdout, as
specified by docker-credential-helpers. Nothing secret is ever an argument, and nothing a helper prints is repeated,
because it may be the secret.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.config import json_text
from sandbox.errors import MissingTool
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import files, process

HUB_KEY = "https://index.docker.io/v1/"
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


class DockerConfig:
    """A Keychain over the config.json at `path`, read at the first question; a file that is not there is empty.

    The order is Docker's: `credHelpers` of the host, else `credsStore`, else `auths`; an account in the file also
    serves where a helper has none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._content: _Content | None = None

    def find(self, host: str) -> Credential | None:
        """Return the account at `host[:port]`. Raises CredentialsUnusable for a broken file or helper."""
        with self._lock:
            if self._content is None:
                self._content = load(self._path)
        content = self._content
        name = canonical(host)
        helper = content.helpers.get(name) or content.store
        found = ask_helper(helper, HUB_KEY if name in _HUB else name) if helper else None
        return found or content.auths.get(name)


@dataclass(frozen=True)
class _Content:
    auths: Mapping[str, Credential] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def canonical(key: str) -> str:
    """Return the `host[:port]` a key of `auths` stands for; old Docker wrote URLs, and Docker Hub has several names."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0].lower()
    name, _, port = host.rpartition(":")
    if port in ("443", "80") and name:
        host = name
    return "docker.io" if host in _HUB else host


def load(path: Path) -> _Content:
    """Read a config.json. Raises CredentialsUnusable when it cannot be read; its text is never repeated."""
    try:
        content = json_text.document(files.read_regular(path) or b"{}")
        auths = {canonical(key): _account(entry) for key, entry in (content.get("auths") or {}).items()}
        helpers = {canonical(key): str(name) for key, name in (content.get("credHelpers") or {}).items()}
        store = str(content.get("credsStore") or "")
    except FileNotFoundError:
        return _Content()
    except (files.NotAFile, OSError, json.JSONDecodeError) as error:
        raise _unreadable(path, files.trouble(error)) from None
    except (ValueError, AttributeError, TypeError):
        raise _unreadable(path, "auths, credHelpers or an entry of theirs has not the form Docker gives it") from None
    return _Content({key: account for key, account in auths.items() if account}, helpers, store)


def _account(entry: Mapping[str, Any]) -> Credential | None:
    """Return the account in an entry of `auths`; with a helper the entry is empty."""
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        pair = base64.b64decode(str(entry["auth"]), validate=True).decode().rstrip("\0")
        username, _, password = pair.partition(":")
    account = Credential(
        username, password, str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    )
    return account if account.username or account.secrets else None


def _unreadable(path: Path, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(
        f"{path} cannot be read", details=reason, fix="correct it, or sign in again with docker login"
    )


SECONDS = 60.0
IDENTITY_USER = "<token>"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ABSENT = ("credentials not found", "no credentials")


def ask_helper(helper: str, server: str) -> Credential | None:
    """Return the account the helper has for `server`, None when it has none. Raises CredentialsUnusable."""
    program = f"docker-credential-{helper}"
    if not _NAME.fullmatch(helper):
        raise _unusable("Docker's config.json", server, "it names a credential helper that is no program's name")
    try:
        output = process.run([program, "get"], timeout=SECONDS, stdin=server, merged=False)
    except MissingTool as error:
        raise _unusable(program, server, error.brief) from None
    except process.ToolFailed as error:
        if any(words in error.details.lower() for words in _ABSENT):
            return None
        raise _unusable(program, server, error.brief) from None  # without its output
    account = _read(output)
    if account is None:
        raise _unusable(program, server, "its answer is not an account")
    return account


def _read(output: str) -> Credential | None:
    """Return the account in an answer; what follows it is passed over, as Docker does."""
    try:
        content, _ = json.JSONDecoder().raw_decode(output.lstrip())
        username, secret = content["Username"], content["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
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
