"""The kernel's limits of inotify, by which programs watch files: what they are, what is used, and what is enough."""

from contextlib import suppress
from pathlib import Path

LEAST = {"max_user_watches": 65_536, "max_user_instances": 128}
ADVISED = {"max_user_watches": 524_288, "max_user_instances": 1024}
RAISE = "sudo sysctl " + " ".join(f"fs.inotify.{name}={value}" for name, value in ADVISED.items())
SYSCTL = Path("/proc/sys/fs/inotify")
_PROCESSES, _INSTANCE = Path("/proc"), Path("anon_inode:inotify")
_ROOT = 0  # owns the processes of nodes, and so their instances


def limits() -> dict[str, int]:
    return {name: int((SYSCTL / name).read_text(encoding="utf-8")) for name in LEAST}


def used() -> int:
    """Return how many instances root's processes have; only root can see them."""
    count = 0
    for process in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or this user may not read it
            if process.stat().st_uid == _ROOT:
                for file in (process / "fd").iterdir():
                    with suppress(FileNotFoundError):
                        count += file.readlink() == _INSTANCE
    return count


def raise_limits() -> None:
    """Raise limits that are too low until the next start of the machine. Raises OSError without the right to."""
    for name, limit in limits().items():
        if limit < ADVISED[name]:
            (SYSCTL / name).write_text(f"{ADVISED[name]}\n", encoding="utf-8")
