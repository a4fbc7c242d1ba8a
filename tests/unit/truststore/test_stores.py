"""Stores and the record: which a machine has, in which order they are changed, and which roots they hold.

keytool itself is in the real tests.
"""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.components.certificates.authority import make_issuing, make_root
from sandbox.errors import SandboxError
from sandbox.truststore import java, nss, stores
from sandbox.truststore.system_stores import ARCH, DEBIAN, FEDORA, LAYOUTS, SUSE, Anchors, find_anchors
from sandbox.truststore.trusted_root import Entry, Kind, Record, in_binary, in_pem, parse
from tests.support import trust_roots
from tests.support.programs import make_program
from tests.support.trust_roots import FILE, NOW, ours, stranger

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
    for change, lines in ((store.add(ours(), FILE), adding), (store.remove(ours()), removing)):
        assert [" ".join(argv) for argv in change.commands] == lines
        assert change.as_root is (store is not NSS)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("home/.pki/nssdb/cert9.db", "jdk/lib/security/cacerts", "usr/local/share/ca-certificates/other.crt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


def test_stores_asking_for_a_password_are_changed_last(files: Path) -> None:
    found = stores.find(trust_roots.machine(files, java_home=files / "jdk", slash=files))
    assert [store.kind for store in found] == [Kind.NSS, Kind.JAVA, Kind.SYSTEM]
    under_sudo = trust_roots.machine(files, sudo_user="ann", slash=files)
    assert [store.kind for store in stores.find(under_sudo)] == [Kind.SYSTEM]


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
    for text in (b"", b"words", b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(SandboxError, match="not a certificate"):
            stores.installed(text, files / "trust")


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


@pytest.mark.parametrize("place", ["lib/security/cacerts", "jre/lib/security/cacerts"])
def test_java_trust_store_is_found_in_either_place_with_its_keytool(place: str, tmp_path: Path) -> None:
    assert java.find(tmp_path) is None
    assert java.find(tmp_path / ("x" * 300)) is None
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    store = java.Cacerts(place=tmp_path / place, keytool=str(tmp_path / "bin/keytool"))
    assert java.find(tmp_path) == store
    assert java.recorded(store.place).keytool == "keytool"
    assert java.recorded(Path("/cacerts")).keytool == "keytool"
    make_program(tmp_path / "bin/keytool", "")
    store.place.unlink()  # a Java that is no longer used
    assert java.recorded(store.place) == dataclasses.replace(store, as_root=True)


def test_files_written_again_by_the_system_are_known() -> None:
    for place, follows_system in {
        "/etc/pki/ca-trust/extracted/java/cacerts": True,
        "/etc/ca-certificates/extracted/java-cacerts.jks": True,
        "/var/lib/ca-certificates/java-cacerts": True,
        "/opt/jdk/lib/security/cacerts": False,
    }.items():
        assert java.at(Path(place), keytool="keytool").follows_system is follows_system


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be"])
def test_only_what_bears_our_alias_is_ours_to_remove(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "cacerts"
    store = java.Cacerts(place=file, keytool="keytool")
    assert store.trusted() == ()
    file.write_bytes(b"\xfe\xed" + ours(1).label.encode(encoding) + ours(1).der + b"other" + ours(2).der)
    assert (store.trusted(), store.entries()) == ((ours(1), ours(2)), (ours(1),))
    file.write_bytes(f"debian:{ours().label}.pem".encode(encoding) + ours().der)  # copied by Debian
    copied = dataclasses.replace(store, alias="debian:{}.pem")
    assert copied.entries() == (ours(),)
    assert copied.remove(ours()).commands[0][-1] == f"debian:{ours().label}.pem"


def test_a_root_has_the_fingerprints_that_tools_show() -> None:
    root = ours()
    certificate = x509.load_der_x509_certificate(root.der)
    assert root.sha256 == certificate.fingerprint(SHA256()).hex()
    assert root.label == f"sandbox-root-{root.sha256[:8]}"
    assert root.common_name in certificate.subject.rfc4514_string()
    assert parse(root.pem) == root


def test_only_roots_of_sandboxes_are_found_in_a_bundle_or_between_other_bytes() -> None:
    pair = make_root(["demo.sandbox.localhost"], now=NOW)
    issuing = make_issuing(pair, ["demo.sandbox.localhost"], now=NOW)
    bundle = stranger() + ours(1).pem + issuing.cert_pem + stranger("Other") + ours(2).pem + ours(1).pem
    assert in_pem(bundle) == (ours(1), ours(2))
    assert in_pem(b"# nothing\n") == ()
    other = parse(stranger()).der
    data = b"\xfe\xed" + other + b"\0\0" + ours(1).der + other + ours(2).der + b"\x30\x82"
    assert in_binary(data) == (ours(1), ours(2))
    assert in_binary(other) == ()


def test_record_is_read_back_as_written(tmp_path: Path) -> None:
    record = Record(tmp_path / "trust")
    assert record.entries() == ()
    record.write(Entry(ours(1), "demo", (("nss", Path("/a")),)))
    record.write(Entry(ours(1), "", (("java", Path("/b")), ("nss", Path("/a")))))
    record.write(Entry(ours(2), "other"))
    first = Entry(ours(1), "demo", (("nss", Path("/a")), ("java", Path("/b"))))
    assert set(record.entries()) == {first, Entry(ours(2), "other")}
    assert record.certificate(ours(1)).read_bytes() == ours(1).pem
    assert stat.S_IMODE(record.folder.stat().st_mode) == 0o700
    record.forget([ours(1), ours(2), ours(3)])
    assert list(record.folder.iterdir()) == []


@pytest.mark.fault(59)
def test_damaged_notes_are_passed_over(tmp_path: Path) -> None:
    """Damaged notes on trusted stores → passed over."""
    record = Record(tmp_path)
    for number in range(4):
        record.write(Entry(ours(number), "demo"))
    record.certificate(ours(0)).unlink()
    record.certificate(ours(1)).write_text("words")
    (tmp_path / f"{ours(2).label}.json").write_text("{}")
    (tmp_path / f"{ours(3).label}.json").write_text("[")
    assert record.entries() == ()
