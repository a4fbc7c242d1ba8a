"""The entries for which pods get accounts, and their Secrets: a kept one, and its copies.

The list of entries, as the user wrote them, is on this machine, and alone decides which accounts are requested. Secrets
in the cluster say what was delivered, but a pod with the right to write Secrets could write one that asks for more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from sandbox.components.credentials.registry_login import Login, Validity
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.errors import SandboxError
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.oci.credential import Credential
from sandbox.oci.docker_config import HUB_KEY
from sandbox.system import files

Origin = Literal["spec", "command"]

_LISTED = list[tuple[Origin, Credentials]]
LABEL = "sandbox.dev/credentials"
KEPT = "kept"
COPY = "copy"
KEY = ".dockerconfigjson"

OURS = ("kube-node-lease", "kube-public", "kube-system", "local-path-storage", SYSTEM_NAMESPACE)
"""Namespaces that no entry means by `all`."""

_ENTRY = "sandbox.dev/entry"
_ISSUED = "sandbox.dev/issued"
_EXPIRES = "sandbox.dev/expires"
_FILE = "sandbox.dev/file"


@dataclass(frozen=True)
class Entry:
    """An entry, and whether it is from the spec or from a command."""

    given: Credentials
    origin: Origin


@dataclass(frozen=True)
class Entries:
    """The list of entries, a file that only the user can read; it names files and registries, and no secret."""

    file: Path

    def read(self) -> Mapping[str, Entry]:
        """Return the entries by the name of their Secret. Raises SandboxError for a file that no command wrote."""
        try:
            found: _LISTED = TypeAdapter(_LISTED).validate_json(files.read_regular(self.file))
        except FileNotFoundError:
            return {}
        except (OSError, files.NotAFile, ValueError) as error:  # pydantic's errors are ValueErrors
            raise SandboxError(
                f"the list of registry credentials in {self.file} cannot be read",
                details=str(error),
                fix=f"rm {shlex.quote(str(self.file))}, then sandbox up, and sandbox credentials add for accounts that "
                "the spec does not list",
                id="credentials-list",
            ) from error
        return {given.secret: Entry(given, origin) for origin, given in found}

    def keep(self, entry: Credentials, origin: Origin) -> None:
        """Add this entry, in place of the one for the same Secret."""
        self._write({**self.read(), entry.secret: Entry(entry, origin)})

    def forget(self, names: Collection[str]) -> None:
        """Remove the entries for these Secrets."""
        known = self.read()
        if known.keys() & set(names):
            self._write({name: one for name, one in known.items() if name not in names})

    def _write(self, entries: Mapping[str, Entry]) -> None:
        content = TypeAdapter(_LISTED).dump_json([(one.origin, one.given) for one in entries.values()], indent=2)
        files.write_private(self.file, content + b"\n")


@dataclass(frozen=True, kw_only=True)
class Held:
    """An entry and the facts of its kept Secret: until when its accounts are valid, and for which registries.

    `made_by` is the digest of the entry that they were requested for, `file` the state of its file then.
    """

    entry: Credentials
    origin: Origin
    validity: Validity
    registries: tuple[str, ...]
    made_by: str
    file: str


def kept(entry: Credentials, login: Login) -> dict[str, Any]:
    """Return the Secret that is kept in the sandbox's own namespace; only the accounts in it are secret."""
    notes = {_ENTRY: digest(entry), _ISSUED: login.issued.isoformat(), _FILE: state(entry.file)}
    if login.expires is not None:
        notes[_EXPIRES] = login.expires.isoformat()
    data = base64.b64encode(json.dumps({"auths": _auths(login.accounts)}).encode()).decode()
    metadata = {"labels": {LABEL: KEPT}, "annotations": notes}
    return _secret(entry.secret, SYSTEM_NAMESPACE, data, metadata)


def digest(entry: Credentials) -> str:
    """Return a value that differs for different entries."""
    return hashlib.sha256(entry.model_dump_json(exclude_none=True).encode()).hexdigest()


def copy(secret: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return the kept `secret` for the pods of `namespace`."""
    return _secret(secret["metadata"]["name"], namespace, secret["data"][KEY], {"labels": {LABEL: COPY}})


def held(secret: Mapping[str, Any], entry: Entry) -> Held | None:
    """Return the facts of an entry's kept Secret, or None when it was changed so that it cannot be read."""
    notes = secret["metadata"].get("annotations") or {}
    try:
        expires = notes.get(_EXPIRES)
        return Held(
            entry=entry.given,
            origin=entry.origin,
            validity=Validity(_time(notes[_ISSUED]), _time(expires) if expires else None),
            registries=tuple(json_text.document(base64.b64decode(secret["data"][KEY]))["auths"].keys()),
            made_by=notes[_ENTRY],
            file=notes[_FILE],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def means(entry: Credentials, namespace: str) -> bool:
    """Tell whether the pods of `namespace` are to have the accounts of `entry`."""
    if namespace == SYSTEM_NAMESPACE:
        return False
    return namespace not in OURS if entry.namespaces == "all" else namespace in entry.namespaces


def state(file: Path | None) -> str:
    """Return a value that changes whenever a file does, and says nothing of its content.

    Empty when there is no readable file.
    """
    try:
        found = file.stat() if file else None
    except OSError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}" if found else ""


def _auths(accounts: Mapping[str, Credential]) -> dict[str, Any]:
    """Return the accounts in the form of Kubernetes' docs, "Pull an image from a private registry".

    Docker Hub is named by the address of its first version.
    """
    return {
        HUB_KEY if host == "docker.io" else host: {
            "username": one.username,
            "password": one.password,
            "auth": base64.b64encode(f"{one.username}:{one.password}".encode()).decode(),
        }
        for host, one in accounts.items()
    }


def _secret(name: str, namespace: str, data: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {KEY: data},
    }


def _time(text: str) -> datetime:
    """Return the time. Raises ValueError also for one so near to the calendar's ends that computing with it fails."""
    found = datetime.fromisoformat(text)
    if not 1 < found.year < 9999:
        raise ValueError(text)
    return found.astimezone(UTC)
