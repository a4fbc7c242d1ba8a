"""Decides what a set of changed files requires: images to build, files to copy, manifests to apply. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sandbox.images.build_order import with_made_from
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromLayout, SyncRule
from sandbox.oci.reference import Target

# Temporary files of editors and other programs; vim writes 4913 to find out whether it may.
LEFT_OVER = {".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".DS_Store"}
LEFT_OVER_NAMES = ("*~", "*.swp", "*.swx", "*.swo", "*.pyc", "*.tmp", ".#*", ".goutputstream-*", "4913")
# More files than this are faster built into an image than copied one by one.
MOST_COPIED = 100

Excluded = Callable[[str], bool]


@dataclass(frozen=True)
class Copied:
    """Files to copy into running containers of one image, each with its place there, and the rules that say so."""

    entry: FromBuild
    files: Mapping[Path, str]
    rules: tuple[SyncRule, ...]


@dataclass(frozen=True, kw_only=True)
class DevWork:
    """What is to be done: `spec` for a whole `up`, else images to push, files to copy, manifests to apply."""

    spec: bool = False
    images: tuple[Entry, ...] = ()
    copied: tuple[Copied, ...] = ()
    manifests: bool = False

    def __bool__(self) -> bool:
        return bool(self.spec or self.images or self.copied or self.manifests)

    def plus(self, other: DevWork) -> DevWork:
        """Return both together; an image whose files this work did not copy is built."""
        entries = (*self.images, *(each.entry for each in self.copied), *other.images)
        images = {entry.target: entry for entry in entries}
        return DevWork(
            spec=self.spec or other.spec,
            images=tuple(images.values()),
            copied=tuple(each for each in other.copied if each.entry.target not in images),
            manifests=self.manifests or other.manifests,
        )


@dataclass(frozen=True, kw_only=True)
class Project:
    """The files that a sandbox is made from.

    `spec` are sandbox.yaml and images.yaml, `manifests` the files and folders that are applied, `written` files that we
    write ourselves; `excluded` tells for each image that is built what of its context .dockerignore excludes; `bases`
    are the images that an image is made from.
    """

    spec: tuple[Path, ...] = ()
    entries: tuple[Entry, ...] = ()
    manifests: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    excluded: Mapping[Target, Excluded] = field(default_factory=dict)
    bases: Mapping[Target, frozenset[Target]] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[Path, ...]:
        sources = (source for entry in self.entries if (source := _source(entry)))
        return tuple(dict.fromkeys((*self.spec, *sources, *self.manifests)))

    def work(self, paths: Collection[Path]) -> DevWork:
        changed = [
            path
            for path in paths
            if path not in self.written
            and LEFT_OVER.isdisjoint(path.parts)
            and not any(map(path.match, LEFT_OVER_NAMES))
        ]
        if any(path in self.spec for path in changed):
            return DevWork(spec=True)
        required = [work for entry in self.entries if (work := self._required(entry, changed))]
        built = with_made_from({each.target for each in required if not isinstance(each, Copied)}, self.bases)
        return DevWork(
            images=tuple(entry for entry in self.entries if entry.target in built),
            copied=tuple(each for each in required if isinstance(each, Copied) and each.entry.target not in built),
            manifests=any(path.is_relative_to(root) for path in changed for root in self.manifests),
        )

    def _required(self, entry: Entry, changed: Collection[Path]) -> Entry | Copied | None:
        source = _source(entry)
        inside = [path for path in changed if source and path.is_relative_to(source)]
        if source is None or not inside:
            return None
        if not isinstance(entry, FromBuild) or source in inside:
            return entry
        excluded, dockerfile = self.excluded.get(entry.target), str(PurePosixPath(entry.dockerfile or "Dockerfile"))
        files: dict[Path, str] = {}
        rules: list[SyncRule] = []
        for path in inside:
            name = path.relative_to(source).as_posix()
            if name in (".dockerignore", dockerfile, f"{dockerfile}.dockerignore"):
                return entry
            if excluded and excluded(name):
                continue
            rule, place = next(((rule, place) for rule in entry.sync if (place := rule.place(name))), (None, ""))
            if rule is None or len(files) == MOST_COPIED:
                return entry
            files[path] = place
            rules += [] if rule in rules else [rule]
        return Copied(entry, files, tuple(rules)) if files else None


def _source(entry: Entry) -> Path | None:
    match entry:
        case FromBuild():
            return entry.context
        case FromArchive() | FromLayout():
            return entry.path
        case _:
            return None
