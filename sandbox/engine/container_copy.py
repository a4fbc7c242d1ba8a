"""Takes a container apart and puts it together again: what it was asked to be, and what has changed in its files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine import Engine, EngineError
from sandbox.fast_dataclass import dataclass

# What the engine or the kernel makes for itself in every container.
VOLATILE = tuple(map(PurePosixPath, ("/proc", "/sys", "/dev", "/run", "/tmp", "/etc/hosts", "/etc/hostname")))  # noqa: S108
RESOLV_CONF = PurePosixPath("/etc/resolv.conf")
_DELETED = 2


@dataclass(frozen=True)
class Description:
    """What the engine was asked to make: the arguments of `POST /containers/create` (Docker Engine API)."""

    name: str
    config: Mapping[str, Any]
    host: Mapping[str, Any]


def describe(engine: Engine, name: str) -> Description:
    """Return how a container was made."""
    with engine.api(f"looking at container {name}") as api:
        found = api.inspect_container(name)
    return Description(found["Name"].lstrip("/"), found["Config"], found["HostConfig"])


def volumes(engine: Engine, name: str) -> Mapping[str, str]:
    """Return the volumes of a container, by the folders where it has them."""
    with engine.api(f"looking at container {name}") as api:
        return {one["Destination"]: one["Name"] for one in _mounts(api, name) if one["Type"] == "volume"}


def rename(engine: Engine, name: str, new: str) -> None:
    """Give a container another name."""
    with engine.api(f"renaming container {name}") as api:
        api.rename(name, new)


def changes(engine: Engine, name: str) -> bytes:
    """Return what has changed in a container's own files, volumes and mounts apart, as a tar of paths below `/`.

    Raises EngineError for a container in which files of its image were removed, which no such tar can tell.
    """
    with engine.api(f"reading the changes in {name}") as api:
        found = {PurePosixPath(one["Path"]): int(one["Kind"]) for one in api.diff(name) or ()}
        mounts = [PurePosixPath(one["Destination"]) for one in _mounts(api, name)]
        # In a system with a merged /usr the engine sees what is mounted at /lib/modules at /usr/lib/modules.
        mounts += [PurePosixPath("/usr", place.relative_to("/")) for place in mounts]
        passed = (*VOLATILE, RESOLV_CONF, *mounts)
        gone = [str(path) for path, kind in found.items() if kind == _DELETED and not _is_below(path, passed)]
        if gone:
            raise EngineError(f"files of its image were removed in {name}", details=", ".join(gone[:10]))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in _outermost(found):
                if not _is_below(path, passed):
                    _copy(api, name, path, passed, tar)
    return out.getvalue()


def write(engine: Engine, name: str, tar: Path) -> None:
    """Extract a tar of paths below `/` into a container, running or not."""
    with engine.api(f"writing into {name}") as api, tar.open("rb") as data:
        api.put_archive(name, "/", data)


def carry(engine: Engine, source: str, path: PurePosixPath, to: str, folder: PurePosixPath) -> None:
    """Copy a file or folder of one container into a folder of another, as it comes."""
    with engine.api(f"copying {path} from {source} to {to}") as api:
        chunks, _ = api.get_archive(source, str(path))
        api.put_archive(to, str(folder), chunks)


def run_script(
    engine: Engine,
    image: str,
    script: str,
    *,
    name: str,
    volumes: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a shell script as root in a container of its own, called `name`: its exit status and its output.

    `volumes` are volumes or folders of this machine by their places inside. It has every right, for files in the
    volumes of nodes belong to anybody and have attributes that only such a process can read, and it has no network.
    """
    binds = [f"{source}:{place}" for place, source in volumes.items()]
    body = {
        "Image": image,
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": [script],
        "Labels": dict(labels or {}),
        "HostConfig": {"Privileged": True, "NetworkMode": "none", "Binds": binds},
    }
    with engine.api("copying volumes") as api:
        made = api.create_container_from_config(body, name)["Id"]
        try:
            api.start(made)
            status = int(api.wait(made)["StatusCode"])
            output = api.logs(made).decode(errors="replace")
        finally:
            api.remove_container(made, force=True, v=True)
    return status, output


def _mounts(api: Any, name: str) -> Sequence[Mapping[str, Any]]:
    return list(api.inspect_container(name)["Mounts"] or ())


def _outermost(found: Mapping[PurePosixPath, int]) -> Iterator[PurePosixPath]:
    """Return added and changed paths, without those inside an added one and folders that only contain changes."""
    parents = {parent for path in found for parent in path.parents}
    for path, kind in sorted(found.items()):
        inside_added = any(found.get(parent) == 1 for parent in path.parents)
        if kind != _DELETED and not inside_added and (kind == 1 or path not in parents):
            yield path


def _copy(api: Any, name: str, path: PurePosixPath, passed: Sequence[PurePosixPath], tar: tarfile.TarFile) -> None:
    chunks, _ = api.get_archive(name, str(path))
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as found:
        for member in found:
            place = path.parent / member.name
            if _is_below(place, passed):
                continue
            member.name = str(place.relative_to("/"))
            if member.islnk():
                member.linkname = str((path.parent / member.linkname).relative_to("/"))
            tar.addfile(member, found.extractfile(member) if member.isreg() else None)


def _is_below(path: PurePosixPath, folders: Sequence[PurePosixPath]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)
