"""Several keys and certificates replaced as one, so that a kill at any moment leaves the old ones or the new ones.

The new files are written to a folder aside, whose renaming to `next` is the moment that counts: from then on a file in
`next` takes the place of its namesake, whether or not it has been moved there yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from sandbox.components.certificates.authority import KeyPair
from sandbox.errors import SandboxError
from sandbox.system.files import make_private_dir, sync_folder, write_atomic

NEXT = "next"
_UNFINISHED = ".next"


def present(folder: Path, file: str) -> Path:
    """Where `file` of the keystore `folder` is now."""
    renewed = folder / NEXT / file
    return renewed if _is_there(renewed) else folder / file


def has(folder: Path, file: str) -> bool:
    """Whether `file` is there, readable or not; asked in this order, since it may be moved between the questions."""
    return _is_there(folder / NEXT / file) or _is_there(folder / file)


def replace(folder: Path, pairs: Mapping[str, KeyPair]) -> None:
    """Put all of `pairs`, by name, in place of those in `folder`. The caller holds its lock. Raises SandboxError."""
    complete(folder)
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
        raise _refused(folder, error) from error
    complete(folder)


def complete(folder: Path) -> None:
    """Bring a replacement that was killed to its end, or back to its beginning. The caller holds the folder's lock."""
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
        raise _refused(folder, error) from error


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _refused(folder: Path, error: OSError) -> SandboxError:
    return SandboxError(
        f"the certificates in {folder} cannot be replaced",
        details=str(error),
        fix="check the owner, the permissions and the free space of that folder, then run this again",
        id="file",
    )
