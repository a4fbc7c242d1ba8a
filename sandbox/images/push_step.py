"""The step that pushes the images of the spec's manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.engine import Engine
from sandbox.engine.engine_images import build_context
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon
from sandbox.images.lockfile import LockFile
from sandbox.images.progress import Result
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.manifest import INDEXES, Document
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import Target
from sandbox.quantities import count
from sandbox.step import NothingToUndo, State, Status, Work

WIDTH = 8  # images that are checked at once

if TYPE_CHECKING:
    from sandbox.images.image_push import ImagePush


@dataclass(frozen=True)
class PushStep(NothingToUndo):
    """Pushes images that are missing or have changed; the data is in the registry's volume.

    Images of other registries are pushed as they are locked. For all others the lock, if there is one, is updated: they
    are the developer's own work. `url` is the registry, `keychain` the user's accounts, `spool` where layers are
    compressed, `buildx` is the program for images that are built, where the docker CLI does not have it.
    """

    engine: Engine
    images: LockFile
    url: str
    keychain: Keychain | None = None
    spool: Path | None = None
    built: set[Target] = field(default_factory=set, compare=False)  # by this run, whatever the engine's clock says
    buildx: Path | None = None
    name: str = "push"
    requires: tuple[str, ...] = ("registry",)

    @property
    def title(self) -> str:
        return f"{count(len(self.images.entries), 'image')} in the registry"

    def check(self) -> Status:
        locked = self.images.digests(self.images.read())
        try:
            with Client(self.url, keychain=self.keychain) as client, ThreadPoolExecutor(WIDTH) as pool:
                entries = self.images.entries
                found = list(zip(entries, pool.map(partial(self._found, client), entries), strict=True))
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        missing = [str(entry.target) for entry, (document, _) in found if document is None]
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        changed = [f"{entry.target}: the engine has another image by now" for entry, (_, same) in found if not same]
        changed += [f"{target}: {name} has changed since it was built" for target, name in self._changed()]
        if changed:
            return Status(State.DRIFTED, "; ".join(changed))
        strayed = [
            f"{entry.target} is {document.digest}, the lock says {locked[entry.target]}"
            for entry, (document, _) in found
            if document is not None and document.digest != locked.get(entry.target, document.digest)
        ]
        return Status(State.DRIFTED, "; ".join(strayed)) if strayed else Status(State.READY)

    def apply(self, work: Work) -> None:
        self._all().run(work.say)
        self.built.update(entry.target for entry in self.images.entries)

    def push(self, entries: Sequence[Entry], say: Callable[[str], None]) -> Sequence[Result]:
        """Push some of the images, which may have been built meanwhile. Raises SandboxError."""
        results = replace(self._all(), entries=tuple(entries)).run(say)
        self.built.update(entry.target for entry in entries)
        return results

    def _all(self) -> ImagePush:
        from sandbox.images.image_push import ImagePush, Local  # and the sources of images, which a check does without

        found = self.buildx
        local = Local(connect=lambda: self.engine, spool=self.spool, buildx=lambda: found)
        return ImagePush.of(self.images, self.url, self.keychain, local)

    def _found(self, client: Client, entry: Entry) -> tuple[Document | None, bool]:
        """Return the registry's content for an entry, and whether it is what the engine has, as far as known."""
        reference = entry.target.tag or entry.target.digest or ""
        document = client.manifest(entry.target.repository, reference)
        name = _engine_name(entry)
        if document is None or not name or document.media_type in INDEXES:
            return document, True
        image = self.engine.inspect_image(name)
        return document, image is None or _is_of(document, str(image["Id"])) or _moved(image)

    def _changed(self) -> Iterator[tuple[Target, str]]:
        for entry in self.images.entries:
            if isinstance(entry, FromBuild) and entry.target not in self.built:
                tagged = _tagged_at(self.engine.inspect_image(entry.engine_name) or {})
                # The lock is written after a build, and may be in the context.
                lock, file = self.images.path, entry.dockerfile
                newer = newer_file(entry.context, tagged, [lock], dockerfile=file) if tagged else None
                if tagged and _is_newer(self.images.manifest, tagged):  # it says how the image is built
                    newer = self.images.manifest.name
                if newer is not None:
                    yield entry.target, newer


def _engine_name(entry: Entry) -> str:
    match entry:
        case FromDaemon():
            return entry.image
        case FromBuild():
            return entry.engine_name
        case _:
            return ""


def _is_of(document: Document, image: str) -> bool:
    return image in document.data.decode() or image == document.digest


def newer_file(
    context: Path, when: float, without: Collection[Path] = (), *, dockerfile: str | None = None
) -> str | None:
    """Return a file or folder of the context that was written, moved or deleted from after `when` (seconds).

    The files `without` are left out, and so are git's own, which change without the files that are built.
    """
    try:
        names = sorted(build_context(context, dockerfile)) if context.is_dir() else []
    except FileNotFoundError as error:
        return os.path.relpath(error.filename, context)
    for name in names:
        if name.partition("/")[0] != ".git" and context / name not in without:
            try:
                changed = (context / name).lstat().st_ctime
            except OSError:  # removed meanwhile
                return name
            if changed > when:
                return name
    return None


def _is_newer(path: Path, when: float) -> bool:
    try:
        return path.stat().st_ctime > when
    except OSError:  # as images that a program lists have none
        return False


def _tagged_at(image: Mapping[str, Any]) -> float:
    """Return when the engine last gave the image its name, as every build does, in seconds; 0 if unknown."""
    said = str((image.get("Metadata") or {}).get("LastTagTime") or "")
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        return 0.0
    return when.timestamp() if when.year > 1 else 0.0


def _moved(image: Mapping[str, Any]) -> bool:
    """Tell whether the engine keeps images in containerd, where an id does not tell what a push would send."""
    return "containerd" in str(image.get("GraphDriver") or {}) or "Descriptor" in image
