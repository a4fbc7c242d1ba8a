"""Keys and certificates as files; several are replaced at once, so that a kill leaves the old ones or the new ones.

The new files are written to another folder, which is then renamed to `next`: from that moment a file in `next` takes
the place of its namesake, whether or not it has been moved there yet.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandbox.components.certificates.condition import Condition, broken
from sandbox.components.certificates.facts import KeyPair
from sandbox.errors import SandboxError
from sandbox.system.files import NotAFile, make_private_dir, read_regular, refused, sync_folder, write_atomic

NEXT = "next"
_UNFINISHED = ".next"
Seen = TypeVar("Seen")
ATTEMPTS = 5  # to find a file that another command moves
_OTHERS = 0o077


def present_file(folder: Path, file: str) -> Path:
    renewed = folder / NEXT / file
    return renewed if _is_there(renewed) else folder / file


def has_file(folder: Path, file: str) -> bool:
    # The order of the two tests matters, since the file may be moved between them.
    return _is_there(folder / NEXT / file) or _is_there(folder / file)


def replace_all(folder: Path, pairs: Mapping[str, KeyPair]) -> None:
    """Put all of `pairs`, by name, in place of those in `folder`. The caller holds its lock. Raises SandboxError."""
    complete_replacement(folder)
    try:
        make_private_dir(folder / _UNFINISHED)
        for name, pair in pairs.items():
            place = folder / _UNFINISHED / name
            make_private_dir(place.parent)
            write_atomic(place.with_name(f"{place.name}.key"), pair.key_pem, mode=0o600)
            write_atomic(place.with_name(f"{place.name}.crt"), pair.cert_pem, mode=0o644)
        (folder / _UNFINISHED).replace(folder / NEXT)
        sync_folder(folder)
    except OSError as error:
        raise refused(f"the certificates in {folder} cannot be replaced", error) from error
    complete_replacement(folder)


def complete_replacement(folder: Path) -> None:
    """Complete or undo a replacement that was killed. The caller holds the folder's lock."""
    shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    renewed = folder / NEXT
    if not renewed.exists():
        return
    try:
        for file in sorted(path for path in renewed.rglob("*") if not path.is_dir()):
            target = folder / file.relative_to(renewed)
            make_private_dir(target.parent)
            file.replace(target)
        shutil.rmtree(renewed)
    except OSError as error:
        raise refused(f"the certificates in {folder} cannot be replaced", error) from error


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


@dataclass(frozen=True)
class KeyFiles:
    """`NAME.key` (mode 0600) and `NAME.crt` (0644) in the keystore `folder`; NAME may begin with a folder's name."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        return present_file(self.folder, f"{self.name}.key")

    @property
    def cert(self) -> Path:
        """Return where the certificate, or the chain that begins with it, is."""
        return present_file(self.folder, f"{self.name}.crt")

    @property
    def has_key(self) -> bool:
        return has_file(self.folder, f"{self.name}.key")

    @property
    def has_cert(self) -> bool:
        return has_file(self.folder, f"{self.name}.crt")

    def read(self) -> KeyPair:
        """Return both files' bytes; the key is empty when its file is absent. Raises SandboxError."""
        try:
            return self._steadily(self._pair)
        except (OSError, NotAFile) as error:
            fix = "check the owner and the permissions of the folder and its files, then run this again"
            brief = f"the certificate {self.cert} or its key cannot be read"
            raise SandboxError(brief, details=str(error), fix=fix, id="file") from error

    def problem(self, *, needs_key: bool = True) -> Condition | None:
        """Return why the file system does not let these files be used, or None.

        The key may be absent without `needs_key`.
        """
        try:
            pair = self._steadily(self._pair)
            if needs_key and self.has_key and not pair.key_pem:
                return broken(f"the private key {self.key} is empty")
            return self._steadily(self._exposure) if needs_key or self.has_key else None
        except (OSError, NotAFile) as error:
            return broken(f"cannot be read: {error}")

    def _steadily(self, read: Callable[[], Seen]) -> Seen:
        """Call `read` until it returns the same twice: another command may replace or move the files meanwhile."""
        before, attempts = None, ATTEMPTS
        while True:
            try:
                seen = read()
            except FileNotFoundError:
                attempts -= 1
                if not attempts:
                    raise
                continue
            if seen == before:
                return seen
            before = seen

    def _pair(self) -> KeyPair:
        return KeyPair(read_regular(self.key) if self.has_key else b"", read_regular(self.cert))

    def _exposure(self) -> Condition | None:
        for path, least in ((self.key.parent, "700"), (self.key, "600")):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                return broken(f"mode too open: {path} has {mode:04o}; chmod {least} keeps others out")
        return None
