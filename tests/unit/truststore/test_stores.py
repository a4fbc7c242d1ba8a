"""Which stores a machine has, in which order they are changed, and those that only the record still knows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.truststore import java, nss, stores, system_stores
from sandbox.truststore.system_stores import ARCH, DEBIAN, FEDORA, LAYOUTS, SUSE, Anchors, find_anchors
from sandbox.truststore.trusted_root import Entry, Record
from tests.support import trust_roots
from tests.support.programs import make_program
from tests.support.trust_roots import FILE, ours, stranger

NAME = ours().label
NSS = nss.Database(Path("/home/me/.pki/nssdb"))
CERTUTIL = "certutil -d sql:/home/me/.pki/nssdb"
JAVA = java.Cacerts(place=Path("/jdk/cacerts"), keytool="keytool", as_root=True)
CACERTS = f"-keystore /jdk/cacerts -storepass changeit -alias {NAME}"
DEBIAN_FILE = f"/usr/local/share/ca-certificates/{NAME}.crt"
FEDORA_FILE = f"/etc/pki/ca-trust/source/anchors/{NAME}.pem"
ARCH_FILE = f"/etc/ca-certificates/trust-source/anchors/{NAME}.crt"
SUSE_FILE = f"/usr/share/pki/trust/anchors/{NAME}.pem"
INSTALL = f"install -m 0644 {FILE}"


@pytest.mark.parametrize(
    ("store", "adding", "removing"),
    [
        (NSS, [f"{CERTUTIL} -A -t C,, -n {NAME} -i {FILE}"], [f"{CERTUTIL} -D -n {NAME}"]),
        (JAVA, [f"keytool -importcert -noprompt -trustcacerts -file {FILE} {CACERTS}"], [f"keytool -delete {CACERTS}"]),
        (
            DEBIAN,
            [f"{INSTALL} {DEBIAN_FILE}", "update-ca-certificates"],
            [f"rm -f {DEBIAN_FILE}", "update-ca-certificates --fresh"],
        ),
        (
            FEDORA,
            [f"{INSTALL} {FEDORA_FILE}", "update-ca-trust extract"],
            [f"rm -f {FEDORA_FILE}", "update-ca-trust extract"],
        ),
        (ARCH, [f"{INSTALL} {ARCH_FILE}", "trust extract-compat"], [f"rm -f {ARCH_FILE}", "trust extract-compat"]),
        (SUSE, [f"{INSTALL} {SUSE_FILE}", "update-ca-certificates"], [f"rm -f {SUSE_FILE}", "update-ca-certificates"]),
    ],
    ids=["nss", "java", "debian", "fedora", "arch", "suse"],
)
def test_each_store_is_changed_by_its_commands(store: stores.Store, adding: list[str], removing: list[str]) -> None:
    for change, lines in ((store.add(ours(), FILE), adding), (store.remove(ours(), FILE), removing)):
        assert [" ".join(command.argv) for command in change.commands] == lines
        assert all(command.as_root is (store is not NSS) for command in change.commands)


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
    databases = [("nss", place) for place in (known[0].place, gone, files / ("x" * 300))]
    places = (("java", cacerts), *databases, ("system", Path("/etc")), ("unknown", files))
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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_machine_is_known_by_its_folder(layout: Anchors, tmp_path: Path) -> None:
    assert find_anchors(tmp_path) is None
    (tmp_path / layout.place.relative_to("/")).mkdir(parents=True)
    assert find_anchors(tmp_path) == layout


@pytest.fixture
def store(tmp_path: Path) -> Anchors:
    folder = tmp_path / "anchors"
    folder.mkdir()
    return dataclasses.replace(DEBIAN, place=folder, bundle=tmp_path / "bundle.crt")


def test_store_holds_what_is_in_the_bundle_and_in_files_of_ours(store: Anchors) -> None:
    assert (store.trusted(), store.entries()) == ((), ())
    store.bundle.write_bytes(stranger() + ours().pem)  # a removal was interrupted
    assert (store.trusted(), store.entries()) == ((), (ours(),))
    (store.place / f"{NAME}.crt").write_bytes(ours().pem)
    assert (store.trusted(), store.entries()) == ((ours(),), (ours(),))
    store.bundle.unlink()
    assert (store.trusted(), store.entries()) == ((), (ours(),))
    (store.place / f"{NAME}.crt").rename(store.place / "by-hand.crt")
    store.bundle.write_bytes(ours().pem)
    assert (store.trusted(), store.entries()) == ((ours(),), ())
