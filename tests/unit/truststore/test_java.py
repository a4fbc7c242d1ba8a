"""Which file a Java reads, who else writes it, and the commands; keytool itself is in the real tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sandbox.truststore import java
from sandbox.truststore.java import Cacerts
from tests.support.programs import make_program
from tests.support.trust_roots import FILE, ours


@pytest.mark.parametrize("place", ["lib/security/cacerts", "jre/lib/security/cacerts"])
def test_a_java_has_its_file_in_one_of_two_places_and_a_keytool(place: str, tmp_path: Path) -> None:
    assert java.find(tmp_path) is None
    assert java.find(tmp_path / ("x" * 300)) is None
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    store = Cacerts(place=tmp_path / place, keytool=str(tmp_path / "bin/keytool"))
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
    store = Cacerts(place=file, keytool="keytool")
    assert store.trusted() == ()
    file.write_bytes(b"\xfe\xed" + ours(1).label.encode(encoding) + ours(1).der + b"other" + ours(2).der)
    assert (store.trusted(), store.entries()) == ((ours(1), ours(2)), (ours(1),))
    file.write_bytes(f"debian:{ours().label}.pem".encode(encoding) + ours().der)  # copied by Debian
    copied = dataclasses.replace(store, alias="debian:{}.pem")
    assert copied.entries() == (ours(),)
    assert copied.remove(ours(), FILE).commands[0].argv[-1] == f"debian:{ours().label}.pem"
