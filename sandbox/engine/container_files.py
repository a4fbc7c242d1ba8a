"""Files of the engine's containers, written and read as tars."""

import io
import os
import tarfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from docker.errors import NotFound

from sandbox.engine.base import Door, translated
from sandbox.engine.engine_values import Placed


class ContainerFiles(Door):
    def write_files(
        self, name: str, files: Mapping[PurePosixPath, bytes], *, private: Collection[PurePosixPath] = ()
    ) -> None:
        """Write files in a container at once, with their parent folders; only root may read `private` ones."""
        entries = {parent: Placed(None, 0o755) for path in files for parent in reversed(path.parents[:-1])}
        entries |= {path: Placed(data, 0o600 if path in private else 0o644) for path, data in files.items()}
        if entries:
            self.put_files(name, "/", {str(path.relative_to("/")): entry for path, entry in entries.items()})

    def put_files(self, name: str, folder: str, files: Mapping[str, Placed]) -> None:
        """Put files into one of a container's own folders, whether it runs or not; what else is there stays.

        They are of now: the engine takes a file with the size and the time of its image's for unchanged, and images of
        the bundle have the time 0.
        """
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for path, entry in files.items():
                info = tarfile.TarInfo(path)
                info.type = tarfile.DIRTYPE if entry.data is None else tarfile.REGTYPE
                info.size, info.mode = len(entry.data or b""), entry.mode
                info.uid, info.gid = entry.owner
                info.mtime = int(time.time())
                tar.addfile(info, io.BytesIO(entry.data or b""))
        names = (str(PurePosixPath(folder, path)) for path, entry in files.items() if entry.data is not None)
        with translated(f"writing {', '.join(names)} in {name}"):
            self._api.put_archive(name, folder, content.getvalue())

    def copy_file(self, name: str, source: Path, folder: PurePosixPath) -> None:
        def packed(data: IO[bytes]) -> Iterator[bytes]:
            info = tarfile.TarInfo(source.name)
            info.size = os.fstat(data.fileno()).st_size
            yield info.tobuf(tarfile.GNU_FORMAT)
            while piece := data.read(1 << 20):
                yield piece
            yield bytes(-info.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)

        with source.open("rb") as data, translated(f"copying {source.name} into {name}"):
            self._slow.put_archive(name, str(folder), packed(data))

    def read_file(self, name: str, path: PurePosixPath) -> bytes | None:
        """Return the content of a file in a container; None when there is none, or a folder or a link in its place."""

        def read() -> bytes | None:
            try:
                content = b"".join(self._api.get_archive(name, str(path))[0])
            except NotFound:
                return None
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                member = tar.next()
                data = tar.extractfile(member) if member is not None and member.isreg() else None
                return None if data is None else data.read()

        with translated(f"reading {path} in {name}"):
            return self.kept.answer((name, path), read)
