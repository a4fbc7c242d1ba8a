"""A manifest of images and the lock next to it, which is obeyed, or follows what was pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.images import images_yaml
from sandbox.images import lock_entries as locks
from sandbox.images.images_yaml import Entry
from sandbox.images.lock_check import Promise
from sandbox.images.lock_entries import Lock
from sandbox.images.progress import Result
from sandbox.images.target import Target
from sandbox.oci.compression import Compression
from sandbox.system import files


@dataclass(frozen=True)
class LockFile:
    """The lock of the file `manifest`, whose images are `entries`; others may renew it at any time.

    With `reading` layers may be read from the engine's own folders.
    """

    manifest: Path
    entries: tuple[Entry, ...]
    reading: bool = True

    @classmethod
    def of(cls, manifest: Path) -> LockFile:
        """Read the manifest. Raises UsageError with file, line and key."""
        content = images_yaml.read(manifest)
        return cls(manifest, content.entries(manifest.parent), reading=content.daemon == "read")

    @property
    def path(self) -> Path:
        return locks.lock_path(self.manifest)

    def read(self) -> Lock | None:
        """Return the lock as it is now, None when there is none. Raises UsageError with file, line and key."""
        return locks.load(self.path)

    def pinned(self, lock: Lock | None) -> tuple[Entry, ...]:
        """Return the images, those of other registries at the digest and the platforms that are locked."""
        return locks.pinned(self.entries, lock, self.manifest.parent)

    def digests(self, lock: Lock | None) -> Mapping[Target, str]:
        """Return what the names of the images stand for.

        Those are left out that are not locked, or from another source.
        """
        return locks.digests(self.entries, lock, self.manifest.parent) if lock else {}

    def promises(self, lock: Lock) -> Mapping[Target, Promise]:
        """Return what `lock` says of each image. Raises Drift when it is not a lock of just these."""
        return locks.promises(self.entries, lock, self.manifest.parent)

    def follow(self, results: Sequence[Result], lock: Lock | None, compression: Compression) -> tuple[str, ...]:
        """Write the lock after a push when it would say something else than `lock`; gives what changed, in words."""
        new = locks.renewed(self.entries, results, lock, self.manifest.parent, compression)
        changes = locks.changes(lock, new) if lock else ("written; it belongs in git",)
        if not new.images or not changes:
            return ()
        files.write_atomic(self.path, locks.dump(new).encode(), mode=0o644)
        return changes
