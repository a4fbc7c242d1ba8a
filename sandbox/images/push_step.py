"""The step that pushes the images of the spec's images.yaml."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

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

CHECKS_AT_ONCE = 8


@dataclass(frozen=True)
class PushStep(NothingToUndo):
    """Pushes images that are missing or have changed; the data is in the registry's volume."""

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
        entries = self.images.entries
        try:
            with Client(self.url, keychain=self.keychain) as client, ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
                results = list(zip(entries, pool.map(partial(self._compare, client), entries), strict=True))
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        missing = [str(entry.target) for entry, (document, _) in results if document is None]
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        changed = [f"{entry.target}: the engine has another image by now" for entry, (_, same) in results if not same]
        changed += [f"{target}: {name} has changed since it was built" for target, name in self._changed_files()]
        if changed:
            return Status(State.DRIFTED, "; ".join(changed))
        strayed = [
            f"{entry.target} is {document.digest}, the lock says {locked[entry.target]}"
            for entry, (document, _) in results
            if document is not None and document.digest != locked.get(entry.target, document.digest)
        ]
        return Status(State.DRIFTED, "; ".join(strayed)) if strayed else Status(State.READY)

    def apply(self, work: Work) -> None:
        self.push(None, work.say)

    def push(self, entries: Sequence[Entry] | None, say: Callable[[str], None]) -> Sequence[Result]:
        """Push some of the images, which may have been built meanwhile, or all. Raises SandboxError."""
        from sandbox.images.image_push import ImagePush, Local  # and the sources of images, which a check does without

        local = Local(connect=lambda: self.engine, spool=self.spool, buildx=lambda: self.buildx)
        work = ImagePush.of(self.images, self.url, self.keychain, local)
        if entries is not None:
            work = replace(work, entries=tuple(entries))
        results = work.run(say)
        self.built.update(work.targets)
        return results

    def _compare(self, client: Client, entry: Entry) -> tuple[Document | None, bool]:
        document = client.manifest(entry.target.repository, entry.target.tag or entry.target.digest or "")
        name = ""
        if isinstance(entry, FromDaemon | FromBuild):
            name = entry.image if isinstance(entry, FromDaemon) else entry.engine_name
        if document is None or not name or document.media_type in INDEXES:
            return document, True
        image = self.engine.inspect_image(name)
        if image is None or str(image["Id"]) in document.data.decode() or image["Id"] == document.digest:
            return document, True
        # With containerd's image store an id does not tell what a push would send.
        return document, "containerd" in str(image.get("GraphDriver") or {}) or "Descriptor" in image

    def _changed_files(self) -> Iterator[tuple[Target, str]]:
        manifest = self.images.manifest
        for entry in self.images.entries:
            if not isinstance(entry, FromBuild) or entry.target in self.built:
                continue
            image = self.engine.inspect_image(entry.engine_name) or {}
            try:  # when the engine last gave the image its name, as every build does
                tagged = datetime.fromisoformat(str((image.get("Metadata") or {}).get("LastTagTime") or ""))
            except ValueError:
                continue
            if tagged.year <= 1:
                continue
            when = tagged.timestamp()
            # The lock is written after a build, and may be in the context.
            newer = newer_file(entry.context, when, [self.images.path], dockerfile=entry.dockerfile)
            # images.yaml says how the image is built; images that a program lists have none.
            if manifest.is_file() and manifest.stat().st_ctime > when:
                newer = manifest.name
            if newer is not None:
                yield entry.target, newer


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
