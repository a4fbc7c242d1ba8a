"""Tests whether containers see the folders of this machine that are mounted.

An engine in a virtual machine sees the folders that its tool shares with it. For any other path it silently makes an
empty folder, and programs in the container miss their files.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sandbox.errors import SandboxError


def require_seen(read: Callable[[PurePosixPath], bytes | None], mounts: Mapping[Path, str]) -> None:
    """Raise SandboxError for a folder or file of `mounts` that a container does not see.

    `read` returns a file of the container, which need not run, or None. A folder where this user cannot make a file is
    not tested.
    """
    for source, target in mounts.items():
        witness = source
        if source.is_dir():
            witness = source / f".sandbox-{secrets.token_hex(8)}"
            try:
                witness.touch(mode=0o644)
            except OSError:
                continue
        try:
            inner = PurePosixPath(target) / witness.relative_to(source).as_posix()
            seen = read(inner) is not None
        finally:
            if witness != source:
                with suppress(OSError):
                    witness.unlink()
        if not seen:
            raise SandboxError(
                f"the Docker Engine does not see the folder {source if source.is_dir() else source.parent}",
                details="a container that is given it misses its files: the engine runs in a virtual machine, a "
                "container or a snap, which does not share this folder",
                fix="let the engine's machine share this folder, in the settings of its tool",
                id="engine-folders",
            )
