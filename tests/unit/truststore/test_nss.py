"""Where browsers keep their databases, and reading one; certutil itself is in the real tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.truststore.nss import Database, databases
from sandbox.truststore.trusted_root import Root
from tests.support.trust_roots import ours


def make(folder: Path, *rows: tuple[str, Root]) -> Path:
    """A database with softoken's columns for class, label and value."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "cert9.db")) as database:
        database.execute("CREATE TABLE nssPublic (id PRIMARY KEY, a0, a3, a11)")
        certificates = [(b"\0\0\0\1", label.encode(), root.der) for label, root in rows]
        for row in (*certificates, (b"\xce\x53\x43\x53", None, b"\xa5\x00\x5a")):
            database.execute("INSERT INTO nssPublic (a0, a3, a11) VALUES (?, ?, ?)", row)
        database.commit()
    return folder


@pytest.mark.parametrize(
    "place",
    [
        ".pki/nssdb",
        ".local/share/pki/nssdb",
        "snap/chromium/current/.pki/nssdb",
        ".var/app/com.google.Chrome/data/pki/nssdb",
        ".mozilla/firefox/abc.default-release",
        ".config/mozilla/firefox/abc.default",
        "snap/firefox/common/.mozilla/firefox/abc.default",
        ".var/app/org.mozilla.firefox/.mozilla/firefox/abc.default",
        "Library/Application Support/Firefox/Profiles/abc.default",
    ],
)
def test_every_place_is_known(place: str, tmp_path: Path) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert databases(tmp_path) == ()  # a browser has not made it yet
    (tmp_path / place / "cert9.db").touch()
    assert databases(tmp_path) == (Database(tmp_path / place),)


def test_database_that_a_link_leads_to_counts_once(tmp_path: Path) -> None:
    real = make(tmp_path / ".local/share/pki/nssdb")
    (tmp_path / ".pki").symlink_to(real.parent)
    assert databases(tmp_path) == (Database(real),)


@pytest.mark.parametrize("relative", [True, False])
def test_profiles_elsewhere_are_known_by_the_ini_file(relative: bool, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "home" / "my profile")
    base = tmp_path / "home" / ".config/mozilla/firefox"
    base.mkdir(parents=True)
    path = "../../../my profile" if relative else str(elsewhere)
    general = "[General]\nStartWithLastProfile=1\n\n"
    (base / "profiles.ini").write_text(f"{general}[Profile0]\nName=x%y\nIsRelative={relative:d}\nPath={path}\n")
    assert databases(tmp_path / "home") == (Database(elsewhere),)


@pytest.mark.parametrize("content", [b"Path=\xff\n[", f"[Profile0]\nPath=/{'x' * 300}\n".encode()])
def test_broken_ini_file_hides_no_profile(tmp_path: Path, content: bytes) -> None:
    profile = make(tmp_path / ".mozilla/firefox/abc.default")
    (profile.parent / "profiles.ini").write_bytes(content)
    assert databases(tmp_path) == (Database(profile),)


def test_only_what_bears_our_nickname_is_ours_to_remove(tmp_path: Path) -> None:
    store = Database(make(tmp_path / "db", (ours(1).label, ours(1)), ("Mine - Sandbox", ours(2))))
    assert store.trusted() == (ours(1), ours(2))
    assert store.entries() == (ours(1),)


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_a_file_that_is_no_database_holds_nothing(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "cert9.db").write_bytes(content)
    assert (Database(tmp_path).trusted(), Database(tmp_path).entries()) == ((), ())
