"""Copies a container: the settings it was made with, and the changes in its files."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine import Engine, EngineError
from sandbox.engine.base import uninterrupted

# Files that the engine or the kernel makes for itself in every container.
VOLATILE = tuple(map(PurePosixPath, ("/proc", "/sys", "/dev", "/run", "/tmp", "/etc/hosts", "/etc/hostname")))  # noqa: S108
RESOLV_CONF = PurePosixPath("/etc/resolv.conf")
_DELETED = 2
_PIECE = 1 << 20


@dataclass(frozen=True)
class Description:
    """The settings of a container: the arguments of `POST /containers/create` (Docker Engine API)."""

    name: str
    config: Mapping[str, Any]
    host: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Files in a `folder` of this machine that a script finds at a `place` (`given`), or leaves there (`taken`)."""

    place: str
    folder: Path
    given: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


def describe(engine: Engine, name: str) -> Description:
    with engine.api(f"looking at container {name}") as api:
        description = api.inspect_container(name)
    return Description(description["Name"].lstrip("/"), description["Config"], description["HostConfig"])


def volumes(engine: Engine, name: str) -> Mapping[str, str]:
    with engine.api(f"looking at container {name}") as api:
        return {mount["Destination"]: mount["Name"] for mount in _mounts(api, name) if mount["Type"] == "volume"}


def changes(engine: Engine, name: str) -> bytes:
    """Return the changes in a container's own files, without volumes and mounts, as a tar of paths below `/`.

    Raises EngineError for a container in which files of its image were removed, which such a tar cannot express.
    """
    with engine.api(f"reading the changes in {name}") as api:
        kinds = {PurePosixPath(change["Path"]): int(change["Kind"]) for change in api.diff(name) or ()}
        mounts = [PurePosixPath(mount["Destination"]) for mount in _mounts(api, name)]
        # In a system with a merged /usr the engine sees what is mounted at /lib/modules at /usr/lib/modules.
        mounts += [PurePosixPath("/usr", place.relative_to("/")) for place in mounts]
        passed = (*VOLATILE, RESOLV_CONF, *mounts)
        gone = [str(path) for path, kind in kinds.items() if kind == _DELETED and not _is_below(path, passed)]
        if gone:
            raise EngineError(f"files of its image were removed in {name}", details=", ".join(gone[:10]))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in _outermost(kinds):
                if not _is_below(path, passed):
                    _copy(api, name, path, passed, tar)
    return out.getvalue()


def write(engine: Engine, name: str, tar: Path) -> None:
    """Extract a tar of paths below `/` into a container, running or not."""
    with engine.api(f"writing into {name}") as api, tar.open("rb") as data:
        api.put_archive(name, "/", data)


def run_script(
    engine: Engine,
    image: str,
    script: str,
    *,
    name: str,
    volumes: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    exchange: Exchange | None = None,
) -> tuple[int, str]:
    """Run a shell script as root in a container of its own, called `name`; return its exit status and output.

    `volumes` are volumes by their places inside. The folder of an `exchange` is mounted where the engine certainly has
    this machine's folders; elsewhere its files are copied. The container has every right, for files in the volumes of
    nodes belong to any user and have attributes that only such a process can read, and it has no network.
    """
    binds = [f"{source}:{place}" for place, source in volumes.items()]
    copied = exchange if exchange and not engine.shares_network() else None
    if exchange and copied is None:
        binds.append(f"{exchange.folder}:{exchange.place}")
    body = {
        "Image": image,
        "Volumes": {copied.place: {}} if copied else {},
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": [script],
        "Labels": dict(labels or {}),
        "HostConfig": {"Privileged": True, "NetworkMode": "none", "Binds": binds},
    }
    with engine.api("copying volumes") as api:

        def create() -> str:
            return str(api.create_container_from_config(body, name)["Id"])

        def remove(container: str) -> None:
            api.remove_container(container, force=True, v=True)

        made = uninterrupted(create, remove)
        try:
            if copied:
                for file in copied.given:
                    engine.copy_file(made, copied.folder / file, PurePosixPath(copied.place))
            api.start(made)
            status = int(api.wait(made)["StatusCode"])
            output = api.logs(made).decode(errors="replace")
            if copied and copied.taken and status == 0:
                _take(api.get_archive(made, copied.place)[0], copied)
            elif exchange and status == 0:
                _require(exchange)
        finally:
            remove(made)
    return status, output


def _take(pieces: Iterable[bytes], exchange: Exchange) -> None:
    """Write the files that the script left, readable for this user only, from a tar of their folder.

    Raises EngineError.
    """
    left = set(exchange.taken)
    with tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces), _PIECE), mode="r|") as tar:
        for member in tar:
            name, data = PurePosixPath(member.name).name, tar.extractfile(member) if member.isreg() else None
            if data is not None and name in left:
                left.remove(name)
                new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with os.fdopen(os.open(exchange.folder / name, new, 0o600), "wb") as out:
                    shutil.copyfileobj(data, out, _PIECE)
    if left:
        raise EngineError(f"{', '.join(sorted(left))} did not come out of the container")


def _require(exchange: Exchange) -> None:
    """Raise EngineError if files that the script left in the mounted folder are not in it here."""
    lost = [name for name in exchange.taken if not (exchange.folder / name).exists()]
    if lost:
        raise EngineError(
            f"{', '.join(lost)} did not come out of the container",
            details=f"the engine sees another folder at {exchange.folder} than this command",
            fix="run sandbox outside of containers and mount namespaces, where the engine runs",
        )


class _Pieces(io.RawIOBase):
    """A file object over an iterator of pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _mounts(api: Any, name: str) -> Sequence[Mapping[str, Any]]:
    return list(api.inspect_container(name)["Mounts"] or ())


def _outermost(kinds: Mapping[PurePosixPath, int]) -> Iterator[PurePosixPath]:
    """Yield added and changed paths, without those inside an added one and folders that only contain changes."""
    parents = {parent for path in kinds for parent in path.parents}
    for path, kind in sorted(kinds.items()):
        inside_added = any(kinds.get(parent) == 1 for parent in path.parents)
        if kind != _DELETED and not inside_added and (kind == 1 or path not in parents):
            yield path


def _copy(api: Any, name: str, path: PurePosixPath, passed: Sequence[PurePosixPath], tar: tarfile.TarFile) -> None:
    chunks, _ = api.get_archive(name, str(path))
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as packed:
        for member in packed:
            place = path.parent / member.name
            if _is_below(place, passed):
                continue
            member.name = str(place.relative_to("/"))
            if member.islnk():
                member.linkname = str((path.parent / member.linkname).relative_to("/"))
            tar.addfile(member, packed.extractfile(member) if member.isreg() else None)


def _is_below(path: PurePosixPath, folders: Sequence[PurePosixPath]) -> bool:
    return any(map(path.is_relative_to, folders))
