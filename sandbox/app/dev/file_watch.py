"""Watches files and folders in threads, and returns changes in bursts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.system import files, inotify

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# Milliseconds without a further change that end a burst, and the longest burst.
QUIET, LONGEST = 50, 1600
# Milliseconds after which a thread checks whether to end, and a waiting caller whether its time is over.
EVERY = 1000
# Milliseconds between two scans of all files where they are polled.
DELAY = 300
# Kinds of change, of those that watchfiles tells apart: of what is new or was moved here, was deleted or moved away.
ADDED, DELETED = 1, 3


# A folder, its device and inode.
Place = tuple[Path, int, int]


@dataclass(frozen=True)
class Burst:
    """Paths that changed together, and when the first change was seen, in seconds of the monotonic clock."""

    paths: frozenset[Path]
    seen: float


class FileWatch:
    """The changes since they were last taken; `begin` starts to watch, by `polling` where there are no events."""

    def __init__(self, *, polling: bool = False) -> None:
        self._polling = polling
        self._roots: dict[Path, Place | None] = {}
        self._lost: set[Path] = set()  # folders of roots that were deleted, or of which no more events come
        self._changed: set[Path] = set()
        self._seen = 0.0
        self._news = threading.Condition()
        self._stop = threading.Event()

    def begin(self, roots: Iterable[Path]) -> None:
        """Watch these files and folders instead of previous ones. Raises SandboxError."""
        from watchfiles._rust_notify import RustNotify  # documented: watchfiles.helpmanual.io/api/rust_backend

        self.end()
        self._stop = threading.Event()
        self._roots, self._lost = {root: _place(root) for root in roots}, set()
        for paths, deep in zip(sorted_roots(self._roots), (True, False), strict=True):
            if not paths:
                continue
            try:
                notify = RustNotify(
                    [str(path) for path in paths],
                    debug=False,
                    force_polling=self._polling,
                    poll_delay_ms=DELAY,
                    recursive=deep,
                    ignore_permission_denied=True,
                )
            except OSError as error:
                raise SandboxError("files cannot be watched", details=str(error), fix=inotify.RAISE) from error
            threading.Thread(target=self._watch, args=(notify, self._stop), name="files", daemon=True).start()

    def end(self) -> None:
        self._stop.set()

    def take(self, *, seconds: float | None = None) -> Burst | None:
        """Wait for the next burst; None if there is none within so many seconds. Raises SandboxError.

        A folder that is new comes with everything in it. A root that was exchanged as a whole, as a folder is by `git
        checkout`, is itself among the paths, and so is each where changes may have been missed.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._news:
            while not self._follow():
                left = EVERY / 1000 if deadline is None else min(EVERY / 1000, deadline - time.monotonic())
                if left <= 0:
                    return None
                self._news.wait(left)
            burst, self._changed = Burst(frozenset(self._changed), self._seen), set()
            return burst

    @property
    def changed(self) -> frozenset[Path]:
        return frozenset(self._changed)

    @property
    def _folders(self) -> set[Path]:
        return {place[0] for place in self._roots.values() if place}

    def _follow(self) -> bool:
        # No events come of roots that are other folders now; a new one often has the inode of the deleted one.
        exchanged = {
            root for root, place in self._roots.items() if (place and place[0] in self._lost) or place != _place(root)
        }
        if exchanged:
            self.begin(tuple(self._roots))
            self._add(exchanged)
        return bool(self._changed)

    def _watch(self, notify: RustNotify, stop: threading.Event) -> None:
        from watchfiles._rust_notify import WatchfilesRustInternalError

        with notify:
            while not stop.is_set():
                try:
                    events = notify.watch(LONGEST, QUIET, EVERY, stop)
                except WatchfilesRustInternalError:  # as for a name that is not in UTF-8; no more events come then
                    with self._news:
                        self._lost |= self._folders
                        self._news.notify_all()
                    return
                if isinstance(events, set):
                    paths = {Path(path) for _, path in events}
                    for kind, name in events:  # no events come for the content of a folder that was moved here
                        if kind == ADDED and not Path(name).is_symlink():
                            for folder, folders, files_inside in os.walk(name):
                                paths.update(Path(folder, each) for each in (*folders, *files_inside))
                    with self._news:
                        self._lost |= self._folders & {Path(path) for kind, path in events if kind == DELETED}
                        self._add(self._named(paths - self._folders))

    def _named(self, paths: set[Path]) -> set[Path]:
        # As the roots have them: of a folder that links lead to, events have one name only.
        roots = {root: Path(os.path.realpath(root)) for root in self._roots}
        named: set[Path] = set()
        for path in paths:
            real = Path(os.path.realpath(path.parent), path.name)
            inside = {root / real.relative_to(target) for root, target in roots.items() if real.is_relative_to(target)}
            named |= inside or {path}
        return named

    def _add(self, paths: set[Path]) -> None:
        with self._news:
            self._seen = self._seen if self._changed else time.monotonic() - QUIET / 1000
            self._changed |= paths
            self._news.notify_all()


def _place(root: Path) -> Place | None:
    folder = root if files.is_dir(root) else root.parent
    try:
        status = folder.stat()
    except OSError:
        return None
    return folder, status.st_dev, status.st_ino


def sorted_roots(roots: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the folders to watch with everything in them, and those to watch for single files only.

    A file is watched by its folder, because an editor that saves replaces the file by another one.
    """
    roots = list(roots)
    folders = {root for root in roots if root.is_dir()}
    whole = sorted(folder for folder in folders if folders.isdisjoint(folder.parents))
    parents = {root.parent for root in roots if root not in folders and root.parent.is_dir()}
    return whole, sorted(parent for parent in parents if not any(parent.is_relative_to(other) for other in whole))
