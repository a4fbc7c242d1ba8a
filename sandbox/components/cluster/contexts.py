"""One context of the user's kubeconfig as a file of its own, which leads to the same cluster as the same user."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.kubeconfig_lock import KubeconfigError
from sandbox.config import yaml_text
from sandbox.errors import UsageError

# Files that are taken into the copy, which has to be good wherever it is.
EMBEDDED = ("certificate-authority", "client-certificate", "client-key")


def alone(paths: Iterable[Path], context: str, namespace: str) -> bytes:
    """A kubeconfig with nothing but `context` of those in `paths`, and `namespace` as its own.

    The first file that has a name wins, as with kubectl. Programs that make credentials stay programs, and a file with
    a token stays a file, since they give another one every hour. Raises UsageError and KubeconfigError.
    """
    files = [(path, kubeconfig.read(path)) for path in paths]
    _, found = _find(files, "contexts", context)
    if found is None:
        known = [str(one.get("name")) for _, content in files for one in content.get("contexts") or ()]
        raise UsageError(
            f"there is no context {context!r}",
            details=f"{', '.join(str(path) for path, _ in files)}: {', '.join(known) or 'none at all'}",
            fix="in sandbox.yaml, give `cluster` the context of the cluster that you mean",
        )
    parts = found.get("context") or {}
    cluster = _part(files, "clusters", str(parts.get("cluster")), context)
    user = _part(files, "users", str(parts.get("user")), context)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": namespace}}],
        "current-context": context,
    }
    return yaml_text.dump(content)


def server(own: Path) -> str:
    """The API server that such a file leads to."""
    clusters = kubeconfig.read(own).get("clusters") or [{}]
    return str((clusters[0].get("cluster") or {}).get("server", ""))


def _find(files: list[tuple[Path, dict[str, Any]]], kind: str, name: str) -> tuple[Path, Mapping[str, Any] | None]:
    for path, content in files:
        for entry in content.get(kind) or ():
            if entry.get("name") == name:
                return path, entry
    return Path(), None


def _part(files: list[tuple[Path, dict[str, Any]]], kind: str, name: str, context: str) -> dict[str, Any]:
    """The cluster or user of that name, with what it has in files."""
    path, found = _find(files, kind, name)
    if found is None:
        raise KubeconfigError(f"the context {context!r} names {name!r}, which is not among the {kind}")
    content = dict(found.get(kind[:-1]) or {})
    for key in EMBEDDED:
        if key in content and f"{key}-data" not in content:
            content[f"{key}-data"] = base64.b64encode(_read(path.parent / content.pop(key))).decode()
    if "tokenFile" in content:
        content["tokenFile"] = str((path.parent / content["tokenFile"]).absolute())
    command = (content.get("exec") or {}).get("command", "")
    if "/" in command:
        content["exec"] = {**content["exec"], "command": str((path.parent / command).absolute())}
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{path} cannot be read, which the kubeconfig names", details=str(error)) from error
