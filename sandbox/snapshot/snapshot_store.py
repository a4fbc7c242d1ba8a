"""Snapshots on disk: a manifest for each, in a folder that is renamed to its final name when it is complete."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from sandbox.config.schema.values import LABEL
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

MANIFEST = "manifest.json"
MOST_REASONS = 10
UNFINISHED = ".unfinished"
UNCHANGED = "; nothing was changed"
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # also of containers (moby, daemon/names)


class Part(BaseModel, frozen=True):
    """A file of the snapshot."""

    file: _FileName
    bytes: int = Field(ge=0, lt=1 << 63)
    sha256: str


class Node(BaseModel, frozen=True):
    """A node: its container's configuration (Docker Engine API), its changed files, and its volumes by mount point."""

    name: _FileName
    image: str
    config: dict[str, Any]
    host: dict[str, Any]
    files: _FileName
    volumes: dict[str, str]


class Manifest(BaseModel, frozen=True):
    """The content of a snapshot; `folder` held the files that were mounted into nodes."""

    format: Literal[1] = 1
    snapshot: str
    sandbox: str
    made: datetime
    release: str
    kubernetes: str
    image: str
    folder: str
    nodes: tuple[Node, ...]
    registry: str | None
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        """Return the size of all its files in bytes."""
        return sum(part.bytes for part in self.parts)

    def require(self, needed: Collection[str], folder: Path) -> None:
        """Raise SandboxError if a file that is `needed` was not saved, or one in `folder` has another size."""
        if lost := sorted(set(needed) - {part.file for part in self.parts}):
            raise self.damaged(folder / MANIFEST, f"it does not list {', '.join(lost)}")
        for part in self.parts:
            path = folder / part.file
            try:
                files.require_regular(path)
                size = path.stat().st_size
            except (OSError, SandboxError) as error:
                raise self.damaged(path, str(error)) from error
            if size != part.bytes:
                raise self.damaged(path, f"it has {size} bytes, and {part.bytes} were saved")

    def verify(self, folder: Path) -> None:
        """Raise SandboxError if the content of a file in `folder` differs from what was saved."""
        for part in self.parts:
            path = folder / part.file
            try:
                same = files.sha256(path) == part.sha256
            except OSError as error:
                raise self.damaged(path, str(error)) from error
            if not same:
                raise self.damaged(path, "its content has changed since it was saved")

    def damaged(self, path: Path, why: str) -> SandboxError:
        """Return the error for a snapshot with a file at `path` that is not what was saved."""
        return SandboxError(
            f"the snapshot '{self.snapshot}' of sandbox '{self.sandbox}' is damaged",
            details=f"{path}: {why}{UNCHANGED}",
            fix=f"restore another one (sandbox snapshot list), or remove it: "
            f"sandbox snapshot delete {self.snapshot} -n {self.sandbox}",
            id="snapshot-damaged",
        )


def part(path: Path) -> Part:
    """Return the entry of a file with its present content."""
    return Part(file=path.name, bytes=path.stat().st_size, sha256=files.sha256(path))


@dataclass(frozen=True)
class Listed:
    """A snapshot on disk: its manifest, None if that cannot be read, and what is damaged, empty for nothing."""

    sandbox: str
    snapshot: str
    manifest: Manifest | None
    damage: str = ""


@dataclass(frozen=True)
class Store:
    """The snapshots of every sandbox, in `folder`."""

    folder: Path

    def listed(self) -> tuple[Listed, ...]:
        """Return every snapshot by sandbox, the oldest first, and then those without a readable manifest.

        The content of files is not read: only missing ones and other sizes count as damage.
        """
        found = [_listed(folder) for folder in self.folder.glob("*/*") if _is_snapshot(folder)]
        return tuple(sorted(found, key=_by_age))

    def images(self) -> set[str]:
        """Return the ids of the node images that snapshots need. Raises SandboxError for one that cannot be read."""
        paths = (path for path in self.folder.glob(f"*/*/{MANIFEST}") if not path.parent.name.startswith("."))
        return {node.image for path in paths for node in read(path).nodes}

    def find(self, sandbox: str, snapshot: str | None) -> Manifest:
        """Return a snapshot of a sandbox, by default the newest. Raises UsageError if there is none."""
        every = self.listed()
        known = [one.manifest for one in every if one.manifest and one.sandbox == sandbox]
        if snapshot is not None and self.place(sandbox, snapshot).exists():
            return read(self.place(sandbox, snapshot) / MANIFEST)
        if snapshot is None and known:
            return known[-1]
        which = f"no snapshot '{snapshot}'" if snapshot else "no snapshot"
        names = ", ".join(one.snapshot for one in known)
        raise UsageError(
            f"there is {which} of sandbox '{sandbox}'",
            details=f"known: {names}" if names else "",
            fix="sandbox snapshot list" if every else "sandbox snapshot save",
            id="no-snapshot",
        )

    def place(self, sandbox: str, snapshot: str) -> Path:
        """Return the folder of a snapshot, whether or not it exists. Raises UsageError if the name is invalid."""
        if not re.fullmatch(LABEL, snapshot):
            raise UsageError(
                f"{snapshot!r} cannot name a snapshot", fix="use up to 63 lower-case letters, digits and hyphens"
            )
        return self.folder / sandbox / snapshot

    def restoring(self, sandbox: str) -> Path:
        """Return the folder of a restore that has not finished."""
        return self.folder / sandbox / ".restoring"

    def is_unfinished(self, sandbox: str) -> bool:
        """Tell whether a command on snapshots of a sandbox was killed."""
        return self.restoring(sandbox).exists() or (self.folder / sandbox / UNFINISHED).exists()

    @contextmanager
    def begun(self, sandbox: str, snapshot: str) -> Iterator[Path]:
        """Yield a folder that becomes the snapshot if the block ends without an error, and is deleted otherwise.

        Raises UsageError if a snapshot of that name exists.
        """
        place = self.place(sandbox, snapshot)
        if place.exists():
            raise UsageError(
                f"sandbox '{sandbox}' has a snapshot '{snapshot}' already",
                fix=f"choose another name, or sandbox snapshot delete {snapshot} -n {sandbox}",
                id="snapshot-exists",
            )
        unfinished = self.folder / sandbox / UNFINISHED
        self.clean(sandbox)
        files.make_private_dir(unfinished)
        try:
            yield unfinished
            for path in unfinished.iterdir():
                _sync(path)
            unfinished.rename(place)
            files.sync_folder(place.parent)
        finally:
            self.clean(sandbox)

    def clean(self, sandbox: str) -> None:
        """Remove what a killed `save` or `delete` left behind."""
        shutil.rmtree(self.folder / sandbox / UNFINISHED, ignore_errors=True)
        files.remove_empty(self.folder / sandbox)

    def delete(self, sandbox: str, snapshot: str) -> None:
        """Delete a snapshot, also a damaged one. Raises UsageError if there is none.

        A rename takes it off the list at once.
        """
        if not self.place(sandbox, snapshot).is_dir():
            self.find(sandbox, snapshot)
        self.clean(sandbox)
        self.place(sandbox, snapshot).rename(self.folder / sandbox / UNFINISHED)
        self.clean(sandbox)


def read(path: Path) -> Manifest:
    """Return the manifest of the snapshot SANDBOX/SNAPSHOT in its folder. Raises SandboxError if it is not one."""
    try:
        found = Manifest.model_validate_json(files.read_regular(path))
    except ValidationError as error:  # without the values, among which may be a proxy's password
        said = (f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors(include_input=False))
        raise _no_manifest(path, "\n".join(islice(said, MOST_REASONS))) from None
    except (OSError, files.NotAFile) as error:
        raise _no_manifest(path, str(error)) from error
    if (found.sandbox, found.snapshot) != (path.parts[-3], path.parts[-2]):
        raise _no_manifest(path, f"it is that of the snapshot '{found.snapshot}' of sandbox '{found.sandbox}'")
    return found


def _is_snapshot(folder: Path) -> bool:
    return re.fullmatch(LABEL, folder.name) is not None and folder.is_dir()


def _listed(folder: Path) -> Listed:
    sandbox, snapshot = folder.parts[-2:]
    manifest = None
    try:
        manifest = read(folder / MANIFEST)
        manifest.require((), folder)
    except SandboxError as error:
        return Listed(sandbox, snapshot, manifest, error.details.removesuffix(UNCHANGED))
    return Listed(sandbox, snapshot, manifest)


def _by_age(one: Listed) -> tuple[str, bool, float, str]:
    return one.sandbox, one.manifest is None, one.manifest.made.timestamp() if one.manifest else 0.0, one.snapshot


def _no_manifest(path: Path, why: str) -> SandboxError:
    folder = path.parent
    remove = f"sandbox snapshot delete {folder.name} -n {folder.parent.name}"
    return SandboxError(
        f"{path} is not the manifest of a snapshot",
        details=why,
        fix="use the release of sandbox that saved it, or remove it: "
        + (remove if _is_snapshot(folder) else f"rm -r {shlex.quote(str(folder))}"),
        id="snapshot-damaged",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
