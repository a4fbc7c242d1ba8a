"""Copies a container: the settings it was made with, and the changes in its files."""

import io
import shutil
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine import Engine, EngineError
from sandbox.engine.base import uninterrupted
from sandbox.system import files

# Files that the engine or the kernel makes for itself in every container.
VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")  # noqa: S108
_ADDED, _DELETED = 1, 2


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Files in a `folder` of this machine that a script finds at a `place` (`given`), or leaves there (`taken`)."""

    place: str
    folder: Path
    given: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


def describe(engine: Engine, name: str) -> dict[str, Any]:
    with engine.api(f"looking at container {name}") as api:
        return dict(api.inspect_container(name))


def volumes(engine: Engine, name: str) -> Mapping[str, str]:
    mounts = describe(engine, name)["Mounts"] or ()
    return {mount["Destination"]: mount["Name"] for mount in mounts if mount["Type"] == "volume"}


def changes(engine: Engine, name: str) -> bytes:
    """Return the changes in a container's own files, without volumes and mounts, as a tar of paths below `/`.

    Raises EngineError for a container in which files of its image were removed, which such a tar cannot express.
    """
    mounts = [PurePosixPath(mount["Destination"]) for mount in describe(engine, name)["Mounts"] or ()]
    # In a system with a merged /usr the engine sees what is mounted at /lib/modules at /usr/lib/modules.
    mounts += [PurePosixPath("/usr", place.relative_to("/")) for place in mounts]
    mounts += map(PurePosixPath, VOLATILE)

    def is_skipped(path: PurePosixPath) -> bool:
        return any(map(path.is_relative_to, mounts))

    out = io.BytesIO()
    with engine.api(f"reading the changes in {name}") as api:
        kinds = {PurePosixPath(change["Path"]): int(change["Kind"]) for change in api.diff(name) or ()}
        parents = {parent for path in kinds for parent in path.parents}
        kinds = {path: kind for path, kind in kinds.items() if not is_skipped(path)}
        removed = [str(path) for path, kind in kinds.items() if kind == _DELETED]
        if removed:
            raise EngineError(f"files of its image were removed in {name}", details=", ".join(removed[:10]))
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, kind in sorted(kinds.items()):
                inside_added = any(kinds.get(parent) == _ADDED for parent in path.parents)
                # Copied with its folder, or a folder that only contains changes.
                if inside_added or (kind != _ADDED and path in parents):
                    continue
                archive = io.BytesIO(b"".join(api.get_archive(name, str(path))[0]))
                with tarfile.open(fileobj=archive) as packed:
                    _copy(packed, tar, path.parent, is_skipped)
    return out.getvalue()


def _copy(
    packed: tarfile.TarFile, tar: tarfile.TarFile, folder: PurePosixPath, is_skipped: Callable[[PurePosixPath], bool]
) -> None:
    for member in packed:
        place = folder / member.name
        if is_skipped(place):
            continue
        member.name = str(place.relative_to("/"))
        if member.islnk():
            member.linkname = str((folder / member.linkname).relative_to("/"))
        tar.addfile(member, packed.extractfile(member) if member.isreg() else None)


def write(engine: Engine, name: str, tar: Path) -> None:
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
        remove = partial(api.remove_container, force=True, v=True)
        made = uninterrupted(lambda: str(api.create_container_from_config(body, name)["Id"]), remove)
        try:
            if copied:
                for file in copied.given:
                    engine.copy_file(made, copied.folder / file, PurePosixPath(copied.place))
            api.start(made)
            status = int(api.wait(made)["StatusCode"])
            output = api.logs(made).decode(errors="replace")
            if exchange and status == 0:
                if copied and copied.taken:
                    _receive(api, made, exchange)
                missing = [file for file in exchange.taken if not (exchange.folder / file).exists()]
                if missing:
                    raise EngineError(
                        f"{', '.join(missing)} did not come out of the container",
                        details=f"the engine sees another folder at {exchange.folder} than this command",
                        fix="run sandbox outside of containers and mount namespaces, where the engine runs",
                    )
        finally:
            remove(made)
    return status, output


def _receive(api: Any, container: str, exchange: Exchange) -> None:
    url = api._url("/containers/{0}/archive", container)
    # Not get_archive, since tarfile reads no pieces; the engine compresses for clients that accept that.
    response = api._get(url, params={"path": exchange.place}, headers={"Accept-Encoding": "identity"}, stream=True)
    api._raise_for_status(response)
    with closing(response), tarfile.open(fileobj=response.raw, mode="r|") as tar:
        for member in tar:
            name, data = PurePosixPath(member.name).name, tar.extractfile(member) if member.isreg() else None
            if data is not None and name in exchange.taken:
                with open(exchange.folder / name, "xb", opener=files.private) as out:
                    shutil.copyfileobj(data, out, 1 << 20)
