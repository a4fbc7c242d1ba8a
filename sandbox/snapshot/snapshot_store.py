"""The folders that snapshots are in: what is listed is whole, for it comes to be by one rename."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sandbox.config.schema.values import LABEL
from sandbox.errors import SandboxError, UsageError
from sandbox.snapshot.snapshot_manifest import Manifest
from sandbox.system import files

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Store:
    """The snapshots of every sandbox, in `folder`."""

    folder: Path

    def all(self) -> tuple[Manifest, ...]:
        """Every snapshot, by sandbox, the oldest first; what cannot be read is passed over."""
        found = []
        for path in self.folder.glob(f"*/*/{MANIFEST}"):
            if not path.parent.name.startswith("."):
                with contextlib.suppress(SandboxError):
                    found.append(_read(path))
        return tuple(sorted(found, key=lambda one: (one.sandbox, one.made)))

    def find(self, sandbox: str, snapshot: str | None) -> Manifest:
        """One snapshot of a sandbox, the newest unless it is named. Raises UsageError when there is none."""
        known = [one for one in self.all() if one.sandbox == sandbox]
        if snapshot is not None and self.place(sandbox, snapshot).exists():
            return _read(self.place(sandbox, snapshot) / MANIFEST)
        if snapshot is None and known:
            return known[-1]
        which = f"no snapshot '{snapshot}'" if snapshot else "no snapshot"
        names = ", ".join(one.snapshot for one in known)
        raise UsageError(
            f"there is {which} of sandbox '{sandbox}'",
            details=f"there are: {names}" if names else "",
            fix="sandbox snapshot list" if self.all() else "sandbox snapshot save",
            id="no-snapshot",
        )

    def place(self, sandbox: str, snapshot: str) -> Path:
        """The folder of a snapshot, there or not. Raises UsageError for what cannot be a name."""
        if len(snapshot) > 63 or not re.fullmatch(LABEL, snapshot):
            raise UsageError(
                f"{snapshot!r} cannot name a snapshot", fix="use up to 63 lower-case letters, digits and hyphens"
            )
        return self.folder / sandbox / snapshot

    def restoring(self, sandbox: str) -> Path:
        """What a restore that has not come to its end has noted."""
        return self.folder / sandbox / ".restoring"

    def is_unsettled(self, sandbox: str) -> bool:
        """Whether a command on snapshots of a sandbox was killed."""
        return self.restoring(sandbox).exists() or (self.folder / sandbox / UNFINISHED).exists()

    @contextmanager
    def begun(self, sandbox: str, snapshot: str) -> Iterator[Path]:
        """A folder that becomes the snapshot when the block ends well, and is gone when it does not.

        Raises UsageError when there is one of that name.
        """
        place = self.place(sandbox, snapshot)
        if place.exists():
            raise UsageError(
                f"there is a snapshot '{snapshot}' of sandbox '{sandbox}' already",
                fix=f"take another name, or sandbox snapshot delete {snapshot} {sandbox}",
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
        """Remove what a killed `save` or `delete` left."""
        shutil.rmtree(self.folder / sandbox / UNFINISHED, ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.folder / sandbox).rmdir()

    def delete(self, sandbox: str, snapshot: str) -> None:
        """Remove a snapshot, which is listed no more from one moment to the other. Raises UsageError without one."""
        self.find(sandbox, snapshot)
        self.clean(sandbox)
        self.place(sandbox, snapshot).rename(self.folder / sandbox / UNFINISHED)
        self.clean(sandbox)


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SandboxError(
            f"{path} is not a snapshot's", details=str(error), fix=f"rm -r {path.parent}", id="snapshot-damaged"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
