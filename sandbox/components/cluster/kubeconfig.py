"""The user's kubeconfig: our context is added and removed, a context of it copied, and nothing else touched."""

import base64
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.components.cluster.kubeconfig_lock import KubeconfigError, locked
from sandbox.config import yaml_text
from sandbox.errors import UsageError
from sandbox.system import files

EXTENSION = "sandbox.dev"
KINDS = ("clusters", "users", "contexts")
# What is taken from the kubeconfig of a cluster that we made: all that kubeadm and kind write.
OURS = {
    "cluster": ("certificate-authority-data", "server"),
    "user": ("client-certificate-data", "client-key-data"),
}
# Files whose content is put into the copy, which has to work wherever it is.
EMBEDDED = ("certificate-authority", "client-certificate", "client-key")


def read(path: Path) -> dict[str, Any]:
    """Return the kubeconfig as a mapping; empty for a missing file. Raises KubeconfigError."""
    try:
        content = yaml_text.document(files.read_regular(path))
    except FileNotFoundError:
        return {}
    except files.NotAFile as error:
        raise _unfit(path, error) from error
    except (OSError, yaml.YAMLError) as error:
        fix = f"repair or move {path}, or point KUBECONFIG at another file"
        raise KubeconfigError(f"{path} is not a readable kubeconfig", details=str(error), fix=fix) from error
    if content is None:
        return {}
    if not _is_valid(content):
        details = f"{', '.join(KINDS)} in it have to be lists of mappings"
        raise KubeconfigError(f"{path} is not a kubeconfig", details=details, fix=f"repair or move {path}")
    return dict(content)


def _is_valid(content: Any) -> bool:
    try:
        for kind in KINDS:
            for entry in content.get(kind) or ():
                body = entry.get(kind[:-1]) or {}
                _ = [extension.get("name") for extension in body.get("extensions") or ()]
    except (AttributeError, TypeError):  # not mappings, or not in lists
        return False
    return True


def require_place(path: Path) -> None:
    """Raise KubeconfigError where no context can be kept at `path`: a device, a FIFO, or a dangling link."""
    try:
        files.require_regular(path)
    except files.NotAFile as error:
        raise _unfit(path, error) from error
    target = Path(os.path.realpath(path))
    if os.path.islink(path) and not files.is_dir(target.parent):  # noqa: PTH114  # Path raises for a hidden folder
        raise KubeconfigError(
            f"no context can be kept in {path}: it is a link into a folder that is not there",
            details=f"it leads to {target}",
            fix=f"mkdir -p {shlex.quote(str(target.parent))}   (or point KUBECONFIG at another file)",
        )


def _unfit(path: Path, error: files.NotAFile) -> KubeconfigError:
    return KubeconfigError(
        f"no context can be kept in {path}: it is not a regular file",
        details=error.details,
        fix="unset KUBECONFIG, or point it at a regular file; one that is not there yet is made",
        id="not-a-file",
    )


def hindrance(path: Path) -> str | None:
    """Return why `path` must not be changed, or None: it is not a kubeconfig, or the user may not write there."""
    try:
        require_place(path)
        read(path)
    except KubeconfigError as error:
        return error.brief
    target = path.resolve()
    for place in (target, target.parent, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            return f"{place} is read-only"
    return None


def holds(path: Path, name: str, own: Path) -> bool:
    """Return whether the kubeconfig `path` has the context `name` with the server and credentials of our file `own`."""
    try:
        mine = _renamed(read(own), name)
        theirs = read(path)
    except KubeconfigError:
        return False
    leads = (_named(theirs, "contexts", name) or {}).get("context") or {}
    context = mine["contexts"][0]["context"]
    return context.items() <= leads.items() and all(
        _named(theirs, kind, name) == _named(mine, kind, name) for kind in ("clusters", "users")
    )


def merge(path: Path, name: str, own: Path) -> None:
    """Add the only cluster, user and context of our file `own` to `path`, all called `name`, and make it current.

    The context that was current before is recorded in ours, so that `remove` can restore it.
    """
    mine = _renamed(read(own), name)
    require_place(path)
    with locked(path):
        content = _without(read(path), name)
        before = content.get("current-context")
        merged = {"apiVersion": "v1", "kind": "Config", **content}
        mine["contexts"] = [_leading_back(entry, before) for entry in mine["contexts"]]
        for kind in KINDS:
            merged[kind] = [*(merged.get(kind) or []), *mine[kind]]
        _write(path, {**merged, "current-context": name})


def remove(path: Path, name: str) -> bool:
    """Remove our entries from `path` and restore the previously current context; returns whether there were any.

    A file that is not a kubeconfig is not changed; if ours may be in it, that is an error. Raises KubeconfigError.
    """
    try:
        content = read(path)
    except KubeconfigError:
        if name.encode() in (files.content(path) or b""):
            raise
        return False
    if not any(_named(content, kind, name) for kind in KINDS):
        return False
    with locked(path):
        _write(path, _without(read(path), name))
        return True


def _renamed(own: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        cluster, user = own["clusters"][0]["cluster"], own["users"][0]["user"]
    except (KeyError, IndexError, TypeError) as error:
        raise KubeconfigError("the cluster's kubeconfig is incomplete") from error
    context = (own.get("contexts") or [{}])[0].get("context") or {}
    return _entries(name, cluster, user, context.get("namespace"))


def _entries(name: str, cluster: Any, user: Any, namespace: str | None = None) -> dict[str, list[dict[str, Any]]]:
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    return {
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
    }


def _document(name: str, entries: Mapping[str, Any]) -> bytes:
    return yaml_text.dump({"apiVersion": "v1", "kind": "Config", **entries, "current-context": name})


def _named(content: dict[str, Any], kind: str, name: str) -> Any:
    return next((entry for entry in content.get(kind) or [] if entry.get("name") == name), None)


def _without(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the content without our entries; later sandboxes' contexts refer to the one before ours."""
    before = _previous(_named(content, "contexts", name))
    kept = dict(content)
    for kind in KINDS:
        kept[kind] = [entry for entry in content.get(kind) or [] if entry.get("name") != name]
    kept["contexts"] = [
        _leading_back(entry, before) if _previous(entry) == name else entry for entry in kept["contexts"]
    ]
    if kept.get("current-context") == name:
        kept["current-context"] = before if before and _named(kept, "contexts", before) else ""
    return kept


def _leading_back(entry: dict[str, Any], before: str | None) -> dict[str, Any]:
    context = dict(entry["context"])
    extensions = [each for each in context.pop("extensions", None) or () if each.get("name") != EXTENSION]
    if before:
        extensions.append({"name": EXTENSION, "extension": {"previous-context": before}})
    return {**entry, "context": {**context, **({"extensions": extensions} if extensions else {})}}


def _previous(context: Any) -> str | None:
    for extension in ((context or {}).get("context") or {}).get("extensions") or []:
        if extension.get("name") == EXTENSION:
            ours = extension.get("extension")
            return str(ours.get("previous-context") or "") or None if isinstance(ours, dict) else None
    return None


def _write(path: Path, content: dict[str, Any]) -> None:
    # A link is followed, since some users keep their kubeconfig elsewhere.
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    files.sweep(target)
    files.write_atomic(target, yaml_text.dump(content), mode=mode)


def single_context(paths: Iterable[Path], context: str, namespace: str) -> bytes:
    """Return a kubeconfig with nothing but `context` of those in `paths`, and `namespace` as its own.

    The first file that has a name wins, as with kubectl. Programs for credentials and files of tokens are kept as they
    are, since they give another token every hour. Raises UsageError and KubeconfigError.
    """
    contents = [(path, read(path)) for path in paths]
    entries: dict[tuple[str, str], tuple[Path, dict[str, Any]]] = {}
    for path, content in contents:
        for kind in KINDS:
            for entry in content.get(kind) or ():
                entries.setdefault((kind, str(entry.get("name"))), (path, entry.get(kind[:-1]) or {}))
    if ("contexts", context) not in entries:
        names = [name for kind, name in entries if kind == "contexts"]
        raise UsageError(
            f"there is no context {context!r}",
            details=f"{', '.join(str(path) for path, _ in contents)}: {', '.join(names) or 'none at all'}",
            fix="in sandbox.yaml, give `cluster` the context of the cluster that you mean",
        )
    _, parts = entries["contexts", context]
    copies = []
    for kind, name in (("clusters", str(parts.get("cluster"))), ("users", str(parts.get("user")))):
        if (kind, name) not in entries:
            raise KubeconfigError(f"the context {context!r} names {name!r}, which is not among the {kind}")
        path, body = entries[kind, name]
        try:
            copies.append(_self_contained(dict(body), path.parent))
        except (OSError, AttributeError, TypeError, ValueError) as error:
            raise KubeconfigError(f"{name!r} of the {kind} in {path} cannot be used", details=str(error)) from error
    cluster, user = copies
    return _document(context, _entries(context, cluster, user, namespace))


def _self_contained(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    for key in EMBEDDED:
        if key in content and f"{key}-data" not in content:
            content[f"{key}-data"] = base64.b64encode((folder / content.pop(key)).read_bytes()).decode()
    if "tokenFile" in content:
        content["tokenFile"] = str((folder / content["tokenFile"]).absolute())
    command = (content.get("exec") or {}).get("command", "")
    if "/" in command:
        content["exec"] = {**content["exec"], "command": str((folder / command).absolute())}
    return content


def of_cluster(exported: bytes) -> bytes:
    """Return a kubeconfig with only the address, CA and client certificate of a cluster that we made.

    Its content comes from a node, and a kubeconfig can make clients run programs, read files and trust other servers.
    Raises KubeconfigError for anything that kubeadm does not write.
    """
    try:
        content = yaml_text.document(exported)
        (cluster,), (user,) = content["clusters"], content["users"]
        parts = {"cluster": cluster["cluster"], "user": user["user"]}
        kept = {part: {key: str(parts[part][key]) for key in keys} for part, keys in OURS.items()}
        more = [f"`{key}` of the {part}" for part, keys in OURS.items() for key in parts[part] if key not in keys]
        name, why = str(cluster["name"]), f"it has {', '.join(more)}" if more else ""
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        kept, name, why = {}, "", f"it is incomplete: {type(error).__name__}: {error}"
    if why:
        raise KubeconfigError(
            "/etc/kubernetes/admin.conf of the control plane is not as kubeadm wrote it",
            details=f"{why}; used are only {', '.join(key for keys in OURS.values() for key in keys)}",
            fix="see what changed it; `sandbox up --recreate cluster` makes a new cluster",
        )
    return _document(name, _entries(name, kept["cluster"], kept["user"]))


def server_of(own: Path) -> str:
    """Return the URL of the API server in such a file; empty where it names none. Raises KubeconfigError."""
    return str(_only_cluster(own).get("server", ""))


def authority(own: Path) -> str:
    """Return the certificate of the CA that such a file trusts; empty where it names none. Raises KubeconfigError."""
    return base64.b64decode(_only_cluster(own).get("certificate-authority-data", "")).decode()


def _only_cluster(own: Path) -> Mapping[str, Any]:
    clusters: list[Any] = read(own).get("clusters") or [{}]
    return clusters[0].get("cluster") or {}
