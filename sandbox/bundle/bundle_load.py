"""Reads a bundle file: `load` unpacks it into the cache, so that `up` needs no network, and `scan` verifies it.

The file is read once from front to back. Nothing in it is trusted: every entry is checked against the list in its head.
"""

import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard
from pydantic import ValidationError

from sandbox.bundle import contents as described
from sandbox.bundle.contents import Contents, Damaged, File
from sandbox.bundle.store import Store
from sandbox.errors import BadFile, SandboxError, UsageError
from sandbox.oci import digest as digests
from sandbox.system import files, tar_members
from sandbox.system.tar_members import ZSTD, LimitedMember

LARGEST_HEAD = 16 << 20  # bytes
CHUNK = 1 << 20
SPARE = 64 << 20  # bytes to leave free on the disk
MOST_FAULTS = 1000  # a small packed file can have members without end


@dataclass(frozen=True)
class Bundle:
    """An open bundle file, whose list of contents was read; `identity` is the digest of the list."""

    path: Path
    tar: tarfile.TarFile
    identity: str
    contents: Contents

    def scan(self, target: Callable[[File], Path | None]) -> list[str]:
        """Read everything once, and write each listed file to its `target`, if any. Returns a line for each fault.

        A file whose content does not have the listed digest is written as well, and named among the faults.
        """
        missing = {file.path: file for file in self.contents.files}
        faults: list[str] = []
        place, spare = described.NAME, self.contents.size
        try:
            while (member := self.tar.next()) is not None:
                file = missing.pop(member.name, None)
                if file is None:
                    shown = "".join(character if character.isprintable() else "?" for character in member.name[:200])
                    faults.append(f"{shown}: not in the list, or in the bundle twice")
                elif not member.isreg():
                    faults.append(f"{file.path}: a link, a folder or a device instead of a file")
                elif member.size != file.size:
                    faults.append(f"{file.path}: {member.size} bytes instead of {file.size}")
                else:
                    place = file.path
                    if self._read(member, target(file), executable=file.executable) != f"sha256:{file.sha256}":
                        faults.append(f"{file.path}: changed")
                if file is None or member.size != file.size:
                    spare -= member.size  # a small packed file can have it without end
                if len(faults) >= MOST_FAULTS or spare < 0:
                    break
        except tar_members.broken() as error:
            faults.append(f"{place}: the bundle ends in it or after it ({error})")
        return faults + [f"{path}: missing" for path in missing if path != place]

    def _read(self, member: tarfile.TarInfo, into: Path | None, *, executable: bool) -> str:
        content = cast("IO[bytes]", self.tar.extractfile(member))
        data = digests.Measured(iter(lambda: content.read(CHUNK), b""))
        if into is None:
            for _ in data:
                pass
        else:
            into.parent.mkdir(parents=True, exist_ok=True)
            with into.open("xb") as out:
                out.writelines(data)
            into.chmod(0o755 if executable else 0o644)
        return data.digest


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Open the bundle in the file `path`. Raises UsageError if it is not a bundle, Damaged if it cannot be read."""
    with ExitStack() as stack:
        try:
            if path.exists() and not path.is_dir():
                files.require_regular(path)  # a pipe would be waited for, and cannot be read from its start again
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            fix = "name a bundle file: `sandbox bundle save FILE` makes one"
            raise BadFile(f"{path} cannot be read", details=str(error), fix=fix) from error
        try:
            is_packed = file.read(len(ZSTD)) == ZSTD
            file.seek(0)
            unpacked = zstandard.ZstdDecompressor().stream_reader(file, closefd=False) if is_packed else file
            data = stack.enter_context(unpacked)
            tar = stack.enter_context(tarfile.open(fileobj=data, mode="r|", bufsize=CHUNK, tarinfo=LimitedMember))
            member = tar.next()
            if member is None or member.name != described.NAME or not member.isreg() or member.size > LARGEST_HEAD:
                raise _no_bundle(path, f"its first entry is not {described.NAME}")
            head = cast("IO[bytes]", tar.extractfile(member)).read()
            contents = Contents.model_validate_json(head)
        except ValidationError as error:
            raise Damaged(
                f"{path} is not a bundle that this version can read",
                details="\n".join(f"{described.NAME}: {fault['msg']}" for fault in error.errors()[:5]),
                fix="save it again, or use the version of sandbox that saved it",
            ) from error
        except tar_members.broken() as error:
            raise _no_bundle(path, str(error)) from error
        yield Bundle(path, tar, digests.of(head), contents)


def load(bundle: Bundle, store: Store, project: Path | None = None, *, components: bool = True) -> None:
    """Load every component that `store` lacks, and the project into the folder `project` if that is given.

    Without `components` only the project is loaded, which is data: the user has not agreed to the programs yet.
    Everything is checked before anything gets its final name. Raises Damaged, which names each changed file, and
    SandboxError if the bundle is for another machine or version, or the disk is too full.
    """
    contents = bundle.contents
    described.require_fit(contents)
    folders = {component.path: store.root / component.folder for component in contents.components if components}
    folders = {path: folder for path, folder in folders.items() if not folder.exists()}
    if project is not None and contents.project is not None:
        folders[described.PROJECT] = project
    needed = sum(file.size for file in contents.files if file.top in folders)
    free = shutil.disk_usage(store.root).free
    if free < needed + SPARE:
        raise SandboxError(
            f"the bundle needs {needed / 1e9:.1f} GB in {store.root}; {free / 1e9:.1f} GB are free",
            fix="free some space, or set XDG_CACHE_HOME to a folder on a larger disk",
            id="disk-full",
        )
    partial = store.root / ".load.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        faults = bundle.scan(lambda file: partial / file.path if file.top in folders else None)
        if faults:
            raise damaged(bundle, faults)
        for path, folder in folders.items():
            if path == described.PROJECT and partial.joinpath(path).exists():
                partial.joinpath(path).rename(folder)
            elif partial.joinpath(path).exists():
                store.place(partial / path, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def damaged(bundle: Bundle, faults: list[str]) -> Damaged:
    return Damaged(
        f"{bundle.path} is damaged: its files are not as they were saved ({len(faults)}); nothing was loaded",
        details="\n".join(faults[:20]),
        fix="copy it again, and check the copy with `sandbox bundle verify`",
    )


def _no_bundle(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is not a bundle", details=why, fix="`sandbox bundle save FILE` makes one")
