"""The databases of Network Security Services, where Firefox and, on Linux, Chrome look for the user's own roots."""

import configparser
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sandbox.system import files
from sandbox.truststore.trusted_root import Change, Kind, Root

_DATABASE = "cert9.db"
# Relative to the home folder. Chromium 146 and later create the second if the first does not exist.
_CHROME = (
    ".pki/nssdb",
    ".local/share/pki/nssdb",
    "snap/*/current/.pki/nssdb",
    "snap/*/current/.local/share/pki/nssdb",
    ".var/app/*/.pki/nssdb",
    ".var/app/*/data/pki/nssdb",
)
# Since 2026 a new Firefox follows the XDG Base Directory Specification.
_FIREFOX = (
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    "snap/firefox/common/.config/mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/config/mozilla/firefox",
    "Library/Application Support/Firefox",
)
# softoken has one row for each object and one column for each attribute, named by its PKCS #11 number in hexadecimal
# (sdb.c): a0 class, a3 label, a11 value.
_CERTIFICATES = "SELECT a3, a11 FROM nssPublic WHERE a0 = X'00000001'"


@dataclass(frozen=True)
class Database:
    place: Path
    kind: Kind = Kind.NSS

    def trusted(self) -> tuple[Root, ...]:
        return tuple(root for _, root in self._certificates())

    def entries(self) -> tuple[Root, ...]:
        return tuple(root for nickname, root in self._certificates() if nickname == root.label)

    def add(self, root: Root, file: Path) -> Change:
        return self._change(root, "-A", "-t", "C,,", "-n", root.label, "-i", str(file), adds=True)

    def remove(self, root: Root) -> Change:
        return self._change(root, "-D", "-n", root.label, adds=False)

    def _change(self, root: Root, action: str, *options: str, adds: bool) -> Change:
        argv = ("certutil", "-d", f"sql:{self.place}", action, *options)
        return Change(kind=self.kind, place=self.place, adds=adds, root=root, commands=(argv,), as_root=False)

    def _certificates(self) -> Iterator[tuple[str, Root]]:
        # SQLite needs neither certutil, which may be missing, nor the user's password.
        uri = f"{(self.place / _DATABASE).absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=2)) as database:
                rows = database.execute(_CERTIFICATES).fetchall()
        except sqlite3.Error:
            return
        for label, value in rows:
            if isinstance(value, bytes) and (root := Root(value)).is_ours:
                yield (label or b"").decode(errors="replace"), root


def databases(home: Path) -> tuple[Database, ...]:
    """Return every database below the home folder `home`, each once even if links lead to it."""
    folders = [folder for pattern in _CHROME for folder in sorted(home.glob(pattern))]
    for base in _FIREFOX:
        folders += _profiles(home / base)
    real = dict.fromkeys(folder.resolve() for folder in folders if files.is_file(folder / _DATABASE))
    return tuple(map(Database, real))


def _profiles(base: Path) -> list[Path]:
    profiles = sorted(path.parent for depth in ("*", "*/*") for path in base.glob(f"{depth}/{_DATABASE}"))
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(base / "profiles.ini", encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return profiles
    # Joining keeps an absolute path as it is.
    return profiles + [base / section["Path"] for section in parser.values() if "Path" in section]
