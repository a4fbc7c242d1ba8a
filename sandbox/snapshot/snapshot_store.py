"""Snapshots on disk: a manifest for each, in a folder that is renamed to its final name when it is complete."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from sandbox.config.schema.values import LABEL
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # also of containers (moby, daemon/names)


class Part(BaseModel, frozen=True):
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
        return sum(part.bytes for part in self.parts)

    def damage(self, folder: Path, *, content: bool = True) -> str:
        """Return which file in `folder` is not as it was saved, "" if all are; without `content` by its size only."""
        for part in self.parts:
            path = folder / part.file
            try:
                size = path.stat().st_size
                if size != part.bytes:
                    return f"{path}: it has {size} bytes, and {part.bytes} were saved"
                if content and files.sha256(path) != part.sha256:
                    return f"{path}: its content has changed since it was saved"
            except OSError as error:
                return str(error)
        return ""

    def require_whole(self, folder: Path) -> None:
        if damage := self.damage(folder):
            raise SandboxError(
                f"the snapshot '{self.snapshot}' of sandbox '{self.sandbox}' is damaged",
                details=f"{damage}; nothing was changed",
                fix=f"restore another one (sandbox snapshot list), or remove it: "
                f"sandbox snapshot delete {self.snapshot} -n {self.sandbox}",
                id="snapshot-damaged",
            )


def part(path: Path) -> Part:
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
    folder: Path

    def listed(self) -> tuple[Listed, ...]:
        """Return every snapshot by sandbox, the oldest first, and then those without a readable manifest.

        The content of files is not read: only missing ones and other sizes count as damage.
        """
        listed: list[Listed] = []
        for folder in self.folder.glob("*/*"):
            if re.fullmatch(LABEL, folder.name) and folder.is_dir():
                sandbox, snapshot = folder.parts[-2:]
                try:
                    manifest = read(folder / MANIFEST)
                    listed.append(Listed(sandbox, snapshot, manifest, manifest.damage(folder, content=False)))
                except SandboxError as error:
                    listed.append(Listed(sandbox, snapshot, None, error.details))

        def by_age(each: Listed) -> tuple[str, bool, float, str]:
            made = each.manifest.made.timestamp() if each.manifest else 0.0
            return each.sandbox, each.manifest is None, made, each.snapshot

        return tuple(sorted(listed, key=by_age))

    def images(self) -> set[str]:
        """Return the ids of the node images that snapshots need. Raises SandboxError for one that cannot be read."""
        paths = (path for path in self.folder.glob(f"*/*/{MANIFEST}") if not path.parent.name.startswith("."))
        return {node.image for path in paths for node in read(path).nodes}

    def find(self, sandbox: str, snapshot: str | None) -> Manifest:
        """Return a snapshot of a sandbox, by default the newest. Raises UsageError if there is none."""
        if snapshot is not None and self.place(sandbox, snapshot).exists():
            return read(self.place(sandbox, snapshot) / MANIFEST)
        every = self.listed()
        manifests = [each.manifest for each in every if each.manifest and each.sandbox == sandbox]
        if snapshot is None and manifests:
            return manifests[-1]
        which = f"no snapshot '{snapshot}'" if snapshot else "no snapshot"
        names = ", ".join(manifest.snapshot for manifest in manifests)
        raise UsageError(
            f"there is {which} of sandbox '{sandbox}'",
            details=f"known: {names}" if names else "",
            fix="sandbox snapshot list" if every else "sandbox snapshot save",
            id="no-snapshot",
        )

    def place(self, sandbox: str, snapshot: str) -> Path:
        if not re.fullmatch(LABEL, snapshot):
            raise UsageError(
                f"{snapshot!r} cannot name a snapshot", fix="use up to 63 lower-case letters, digits and hyphens"
            )
        return self.folder / sandbox / snapshot

    def restoring(self, sandbox: str) -> Path:
        return self.folder / sandbox / ".restoring"

    def is_unfinished(self, sandbox: str) -> bool:
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
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            unfinished.rename(place)
            files.sync_folder(place.parent)
        finally:
            self.clean(sandbox)

    def clean(self, sandbox: str) -> None:
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
    folder = path.parent
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
        if (manifest.sandbox, manifest.snapshot) == (folder.parent.name, folder.name):
            return manifest
        why = f"it is that of the snapshot '{manifest.snapshot}' of sandbox '{manifest.sandbox}'"
    except ValidationError as error:  # without the values, among which may be a proxy's password
        why = f"not valid: {', '.join('.'.join(map(str, flaw['loc'])) for flaw in error.errors()[:10])}"
    except OSError as error:
        why = str(error)
    raise SandboxError(
        f"{path} is not the manifest of a snapshot",
        details=why,
        fix="use the release of sandbox that saved it, or remove it: "
        f"sandbox snapshot delete {shlex.quote(folder.name)} -n {folder.parent.name}",
        id="snapshot-damaged",
    )
