"""Keys and certificates as files; several are replaced at once, so that a kill leaves the old ones or the new ones.

The new files are written to another folder, which is then renamed to `next`: from that moment a file in `next` takes
the place of its namesake, whether or not it has been moved there yet.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.certificates.facts import Condition, KeyPair, broken
from sandbox.errors import SandboxError
from sandbox.system.files import NotAFile, make_private_dir, read_regular, refused, sync_folder, write_atomic

NEXT = "next"
_UNFINISHED = ".next"
ATTEMPTS = 20  # to read files that another command moves


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


@dataclass(frozen=True)
class KeyFiles:
    """`NAME.key` (mode 0600) and `NAME.crt` (0644) in the keystore `folder`; NAME may begin with a folder's name."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        return self._present("key")

    @property
    def cert(self) -> Path:
        return self._present("crt")

    @property
    def has_key(self) -> bool:
        return any(map(os.path.lexists, self._places("key")))

    @property
    def has_cert(self) -> bool:
        return any(map(os.path.lexists, self._places("crt")))

    def _present(self, suffix: str) -> Path:
        renewed, usual = self._places(suffix)
        return renewed if os.path.lexists(renewed) else usual

    def _places(self, suffix: str) -> tuple[Path, Path]:
        """Return the places of a file, in the order to look: it may be moved to the second meanwhile."""
        return self.folder / NEXT / f"{self.name}.{suffix}", self.folder / f"{self.name}.{suffix}"

    def read(self) -> KeyPair:
        """Return both files' bytes; the key is empty when its file is absent. Raises SandboxError."""
        try:
            return self._steady()[0]
        except (OSError, NotAFile) as error:
            fix = "check the owner and the permissions of the folder and its files, then run this again"
            brief = f"the certificate {self.cert} or its key cannot be read"
            raise SandboxError(brief, details=str(error), fix=fix, id="file") from error

    def problem(self, *, needs_key: bool = True) -> Condition | None:
        """Return why the file system does not let these files be used, or None. A key not needed may be absent."""
        try:
            pair, exposure = self._steady()
        except (OSError, NotAFile) as error:
            return broken(f"cannot be read: {error}")
        if needs_key and not pair.key_pem:
            return broken(f"the private key {self.key} cannot be read: it is empty or absent")
        return broken(exposure) if exposure else None

    def _steady(self) -> tuple[KeyPair, str]:
        # Another command may replace or move the files meanwhile, so they are read until they are the same twice.
        before = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                key_pem, exposure = b"", ""
                if self.has_key:
                    key_pem, exposure = read_regular(self.key), self._exposure()
                content = KeyPair(key_pem, read_regular(self.cert)), exposure
            except FileNotFoundError:
                if attempt == ATTEMPTS:
                    raise
                continue
            if content == before:
                break
            before = content
        return content

    def _exposure(self) -> str:
        for path, least in ((self.key.parent, "700"), (self.key, "600")):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                return f"mode too open: {path} has {mode:04o}; chmod {least} keeps others out"
        return ""
