"""Adds our context to the user's kubeconfig and takes it out again, touching nothing else in the file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sandbox.cluster import yamltext
from sandbox.errors import SandboxError
from sandbox.host import files, interruption

LOCK_PATIENCE = 10.0
EXTENSION = "sandbox.dev"
KINDS = ("clusters", "users", "contexts")


class KubeconfigError(SandboxError):
    """The user's kubeconfig cannot be read or changed; it was left as it is."""

    id = "kubeconfig"


def read(path: Path) -> dict[str, Any]:
    """The kubeconfig as a mapping; empty when there is no file. Raises KubeconfigError."""
    try:
        content = yamltext.document(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fix = f"mend or move {path}, or point KUBECONFIG at another file"
        raise KubeconfigError(f"{path} is not a readable kubeconfig", details=str(error), fix=fix) from error
    if content is None:
        return {}
    flaw = _flaw(content)
    if flaw:
        raise KubeconfigError(f"{path} is not a kubeconfig", details=flaw, fix=f"mend or move {path}")
    return dict(content)


def _flaw(content: Any) -> str:
    if not isinstance(content, dict):
        return "its content is not a mapping"
    for kind in KINDS:
        entries = content.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            return f"`{kind}` is not a list of mappings"
    return ""


def holds(path: Path, name: str, own: Path) -> bool:
    """Whether the kubeconfig `path` has the context `name` with the server and credentials of our file `own`."""
    try:
        mine = _renamed(read(own), name)
    except KubeconfigError:
        return False
    theirs = read(path)
    leads = (_named(theirs, "contexts", name) or {}).get("context") or {}
    return (leads.get("cluster"), leads.get("user")) == (name, name) and all(
        _named(theirs, kind, name) == _named(mine, kind, name) for kind in ("clusters", "users")
    )


def merge(path: Path, name: str, own: Path) -> None:
    """Put the only cluster, user and context of our file `own` into `path`, all called `name`, and make it current.

    The context that was current before is remembered in ours, so that `remove` can bring it back.
    """
    mine = _renamed(read(own), name)
    with _locked(path):
        content = read(path)
        before = content.get("current-context")
        if before == name:
            before = _previous(_named(content, "contexts", name))
        if before:
            _named(mine, "contexts", name)["context"]["extensions"] = [
                {"name": EXTENSION, "extension": {"previous-context": before}}
            ]
        merged = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **_without(content, name)}
        for kind in KINDS:
            merged[kind] = [*(merged.get(kind) or []), *mine[kind]]
        _write(path, {**merged, "current-context": name})


def remove(path: Path, name: str) -> bool:
    """Take our entries out of `path` and make the context current again that was so before; whether there were any."""
    if not any(_named(read(path), kind, name) for kind in KINDS):
        return False
    with _locked(path):
        content = read(path)
        rest = _without(content, name)
        if rest.get("current-context") == name:
            previous = _previous(_named(content, "contexts", name))
            rest["current-context"] = previous if previous and _named(rest, "contexts", previous) else ""
        _write(path, rest)
        return True


def _renamed(own: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        cluster, user = own["clusters"][0]["cluster"], own["users"][0]["user"]
    except (KeyError, IndexError, TypeError) as error:
        raise KubeconfigError("the cluster's kubeconfig is incomplete") from error
    return {
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def _named(content: dict[str, Any], kind: str, name: str) -> Any:
    return next((entry for entry in content.get(kind) or [] if entry.get("name") == name), None)


def _without(content: dict[str, Any], name: str) -> dict[str, Any]:
    kept = dict(content)
    for kind in KINDS:
        kept[kind] = [entry for entry in content.get(kind) or [] if entry.get("name") != name]
    return kept


def _previous(context: Any) -> str | None:
    for extension in ((context or {}).get("context") or {}).get("extensions") or []:
        if extension.get("name") == EXTENSION:
            return str(extension["extension"].get("previous-context", "")) or None
    return None


def _write(path: Path, content: dict[str, Any]) -> None:
    # A link is followed, since some people keep their kubeconfig elsewhere.
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    files.write_atomic(target, yaml.safe_dump(content, sort_keys=False).encode(), mode=mode)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file that kubectl and kind use too (client-go, tools/clientcmd/config.go: lockFile)."""
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_PATIENCE
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError as error:
            if time.monotonic() > deadline:
                raise KubeconfigError(
                    f"{path} is locked",
                    details=f"{lock} exists; kubectl or kind is at work, or one was killed",
                    fix=f"if no kubectl or kind is running: rm {lock}",
                ) from error
            interruption.pause(0.1)
        except OSError as error:
            raise KubeconfigError(
                f"{path} cannot be changed", details=str(error), fix=f"see who owns {path.parent}"
            ) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
