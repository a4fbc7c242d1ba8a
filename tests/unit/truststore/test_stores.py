"""Which stores a machine has, in which order they are changed, and those that only the record still knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.truststore import java, nss, stores, system_stores
from sandbox.truststore.trusted_root import Entry, Record
from tests.support import trust_roots
from tests.support.programs import make_program
from tests.support.trust_roots import ours


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("home/.pki/nssdb/cert9.db", "jdk/lib/security/cacerts", "usr/local/share/ca-certificates/other.crt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


def kinds(found: tuple[stores.Store, ...]) -> list[type]:
    return [type(store) for store in found]


def test_stores_asking_for_a_password_are_changed_last(files: Path) -> None:
    found = stores.find(trust_roots.machine(files, java_home=files / "jdk", slash=files))
    assert kinds(found) == [nss.Database, java.Cacerts, system_stores.Anchors]
    under_sudo = trust_roots.machine(files, sudo_user="ann", slash=files)
    assert kinds(stores.find(under_sudo)) == [system_stores.Anchors]


def test_the_record_knows_stores_that_are_not_found_any_more(files: Path) -> None:
    record, cacerts, gone = Record(files / "trust"), files / "jdk/lib/security/cacerts", files / "gone"
    known = stores.find(trust_roots.machine(files))
    places = (
        ("java", cacerts),
        ("nss", known[0].place),
        ("nss", gone),
        ("nss", files / ("x" * 300)),
        ("system", Path("/etc")),
        ("unknown", files),
    )
    record.write(Entry(ours(), "demo", places))
    assert [(store.kind.value, store.place) for store in stores.recorded(record, known)] == [("java", cacerts)]


def test_installed_root_is_listed_with_its_stores(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(files / "home"))
    monkeypatch.setenv("JAVA_HOME", str(files / "jdk"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert stores.installed(ours().pem, files / "trust") == ()
    cacerts = files / "jdk/lib/security/cacerts"
    cacerts.write_bytes(ours().der)
    assert stores.installed(ours().pem, files / "trust") == (f"java {cacerts}",)
    with pytest.raises(SandboxError, match="not a certificate"):
        stores.installed(b"", files / "trust")


def test_this_machine_is_known_by_its_environment(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(files / "bin" / "chromium", "")
    for name, value in (("HOME", "home"), ("JAVA_HOME", "jdk"), ("PATH", "bin")):
        monkeypatch.setenv(name, str(files / value))
    here = stores.this_machine(files / "trust")
    assert (here.home, here.java_home, here.browsers) == (files / "home", files / "jdk", ("chromium",))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for user, sudo_user in (("root", ""), ("ann", "ann")):
        monkeypatch.setenv("SUDO_USER", user)
        here = stores.this_machine(files)
        assert (here.is_root, here.sudo_user) == (True, sudo_user)
