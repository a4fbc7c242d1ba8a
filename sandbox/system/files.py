"""Private folders, and files that are written completely or not at all: keys must survive a crash and a lax umask."""

import glob
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sandbox.errors import SandboxError

PRIVATE_DIR = 0o700
SUFFIX = ".tmp"
PACKAGES = Path(__file__).parents[2]


class NotAFile(SandboxError):
    """There is something else in the place of a regular file; it was not changed."""

    id = "not-a-file"


def make_private_dir(path: Path) -> None:
    """Create `path` and missing parents with mode 0700, whatever the umask, or restrict an existing `path` to that.

    Raises SandboxError if refused.
    """
    try:
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in (*reversed(missing), path):
            folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
            folder.chmod(PRIVATE_DIR)
    except OSError as error:
        raise refused(f"the folder {path} cannot be made private", error) from error


def private(path: str, flags: int) -> int:
    """Open a file that only this user can read, if it is new; an `opener` for `open`. Raises OSError."""
    return os.open(path, flags, 0o600)


def write_atomic(path: Path, data: bytes, *, mode: int) -> None:
    """Replace `path` by `data` with exactly `mode`; readers, even after a loss of power, see the old file or the new.

    The folder must exist. A symbolic link at `path` is replaced, not followed. Raises SandboxError when refused, and
    for what is no regular file.
    """
    try:
        with replacing(path, mode=mode) as file:
            file.write(data)
    except OSError as error:
        raise refused(f"{path} cannot be written", error) from error


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` like `write_atomic`, for this user only, in a folder that is private too. Raises SandboxError."""
    make_private_dir(path.parent)
    write_atomic(path, data, mode=0o600)


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that replaces `path` like `write_atomic` once the block ends without an error.

    Without a `mode` it has the one that the umask leaves. Raises OSError, and SandboxError for what is no regular file.
    """
    require_regular(path)
    temporary = path.with_name(f"{_prefix(path)}{os.urandom(4).hex()}{SUFFIX}")
    with open(temporary, "xb", opener=None if mode is None else private) as file:  # Path's has no opener
        try:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def require_regular(path: Path) -> None:
    """Raise NotAFile where there is a device, FIFO, socket or folder at `path`, or a link to one.

    Replacing a device by a file would take it from the whole machine, and reading a FIFO waits for another process.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # once: the file may be replaced meanwhile
    except (OSError, ValueError):  # absent, or a name that no file can have
        return
    if not stat.S_ISREG(mode):
        raise NotAFile(
            f"{path} is not a regular file",
            details=f"it leads to {os.path.realpath(path)}" if path.is_symlink() else "it was left as it is",
            fix="name a regular file, or one that does not exist yet",
        )


def read_regular(path: Path) -> bytes:
    require_regular(path)
    return path.read_bytes()


def content(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except (OSError, NotAFile):
        return None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises OSError and ValueError."""
    try:
        return json.loads(read_regular(path))
    except NotAFile as error:
        raise ValueError(error.brief) from None


def trouble(error: Exception) -> str:
    """Return in a few words why a file, or the JSON in it, cannot be read, without anything of its content."""
    match error:
        case NotAFile():
            return "it is not a regular file"
        case json.JSONDecodeError():
            return f"line {error.lineno}, column {error.colno}: {error.msg}"
        case OSError():
            return error.strerror or ""
    return "it is not text"


def is_file(path: Path | str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file() raises OSError for a name that is too long


def is_dir(path: Path | str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def is_inside(folder: Path, path: Path) -> bool:
    """Return whether the path is in the folder, all links in both followed."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except ValueError:  # a path with a null byte, which no file has
        return False


def from_here(path: Path) -> str:
    with suppress(OSError):  # the current folder was removed
        here = Path.cwd()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)
    return str(path)


def remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def packaged(package: str, name: str) -> str:
    return PACKAGES.joinpath(*package.split("."), name).read_text(encoding="utf-8")


def sweep(path: Path) -> None:
    """Remove what a killed `write_atomic` left next to `path`; only for the holder of a lock."""
    for left in path.parent.glob(f"{glob.escape(_prefix(path))}????????{SUFFIX}"):
        left.unlink(missing_ok=True)


def sweep_below(folder: Path) -> None:
    for left in folder.rglob(f".*.????????{SUFFIX}"):
        left.unlink(missing_ok=True)


class Locked(SandboxError):
    """Another process kept a lock for longer than was waited."""

    id = "locked"


LOCK_TRIES = 5


@contextmanager
def exclusive(folder: Path, *, seconds: float = 30) -> Iterator[None]:
    """Keep other processes and threads that use `exclusive` out of `folder`, after waiting up to `seconds` for them.

    The kernel releases the lock however its holder ends (flock(2)). Not re-entrant. Raises Locked, and SandboxError
    when the folder cannot be locked.
    """
    from filelock import FileLock, Timeout  # most commands that only look lock nothing

    lock = FileLock(folder / ".lock", mode=0o600)
    try:
        for left in reversed(range(LOCK_TRIES)):
            try:
                make_private_dir(folder)
                lock.acquire(timeout=seconds)
                break
            except (SandboxError, FileNotFoundError, FileExistsError):  # its holder removes the folder at this moment
                if not left:
                    raise
    except Timeout as error:
        raise Locked(
            f"another command has been working in {folder} for more than {seconds:g} seconds",
            fix="wait for it to end, or stop it, and run this again",
        ) from error
    except OSError as error:
        raise refused(f"{folder} cannot be locked", error) from error
    try:
        yield
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Write the names in `folder` to the disk, without which a rename may be lost. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prefix(path: Path) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:100])}."  # a name has at most 255 bytes


def refused(brief: str, error: OSError) -> SandboxError:
    fix = "check that path, its owner, its permissions and the free space there, then run this again"
    return SandboxError(brief, details=str(error), fix=fix, id="file")
