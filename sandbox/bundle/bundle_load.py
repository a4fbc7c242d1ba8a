"""Takes a bundle file into the cache, after which `up` works without any network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox.bundle import contents as described
from sandbox.bundle.bundle_reader import Bundle
from sandbox.bundle.contents import Contents, Damaged, File
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError

SPARE = 64 << 20  # bytes left free on the disk


def load(bundle: Bundle, store: Store, project: Path | None = None, *, components: bool = True) -> Contents:
    """Put every component that `store` lacks into it, and the project into the folder `project`, if that is wanted.

    Without `components` nothing but the project, which is data, comes out of a bundle that the user has yet to trust.

    Everything is checked before anything takes its place, each component at once. Raises Damaged, naming each file
    that is not what it was, and SandboxError when the bundle is for others or the disk is too full.
    """
    contents = bundle.contents
    described.require_fit(contents)
    folders = {one.path: f"{one.name}-{one.digest}" for one in contents.components}
    wanted = {path: store.root / name for path, name in folders.items() if not store.root.joinpath(name).exists()}
    wanted = wanted if components else {}
    if project is not None and contents.project is not None:
        wanted[described.PROJECT] = project
    _require_room(store.root, sum(file.size for file in contents.files if _folder(file) in wanted))
    partial = store.root / ".load.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        faults = bundle.scan(lambda file: _writing(file, partial) if _folder(file) in wanted else None)
        if faults:
            raise damaged(bundle, faults)
        for path, folder in wanted.items():
            if not partial.joinpath(path).exists():
                continue
            if path == described.PROJECT:
                partial.joinpath(path).rename(folder)
            else:
                store.place(partial / path, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contents


def damaged(bundle: Bundle, faults: list[str]) -> Damaged:
    """The error for a bundle in which `faults` were found."""
    return Damaged(
        f"{bundle.path} is damaged: {len(faults)} of its files are not as they were saved; nothing was loaded",
        details="\n".join(faults[:20]),
        fix="copy it again from where it was saved, and compare with `sandbox bundle verify`",
    )


def _folder(file: File) -> str:
    """The folder of the bundle that is taken in as a whole, and that `file` is in."""
    top, _, rest = file.path.partition("/")
    return f"{top}/{rest.partition('/')[0]}" if top == described.COMPONENTS else top


@contextmanager
def _writing(file: File, partial: Path) -> Iterator[IO[bytes]]:
    path = partial / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        yield out
        os.fchmod(out.fileno(), 0o755 if file.executable else 0o644)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise SandboxError(
            f"the bundle needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free",
            fix="make room there, or set XDG_CACHE_HOME to a folder on a larger disk",
            id="disk-full",
        )
