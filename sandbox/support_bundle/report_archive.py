"""Makes one file of the texts: a .tar.gz that only its owner can read."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox.errors import UsageError
from sandbox.system import files

OWNER_ONLY = 0o600


def require_absent(path: Path) -> None:
    """Raise UsageError when there is a file that would be written over."""
    if path.exists():
        raise UsageError(f"{path} is there already", fix="remove it, or name another file with -o")


def write(path: Path, texts: Mapping[str, str]) -> None:
    """Write the archive, with all of it in one folder of its name. Raises SandboxError when that is not possible."""
    content = io.BytesIO()
    folder = path.name.removesuffix(".tar.gz")
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in sorted(texts.items()):
            data = text.encode(errors="replace")
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(data), OWNER_ONLY, int(time.time())
            tar.addfile(info, io.BytesIO(data))
    files.write_atomic(path, content.getvalue(), mode=OWNER_ONLY)
