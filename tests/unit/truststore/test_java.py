"""Which file a Java reads, who else writes it, and the commands; keytool itself is in the real tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sandbox.truststore import java
from sandbox.truststore.java import Cacerts
from tests.support.trust_roots import FILE, ours


@pytest.mark.parametrize("place", ["lib/security/cacerts", "jre/lib/security/cacerts"])
def test_a_java_has_its_file_in_one_of_two_places(place: str, tmp_path: Path) -> None:
    assert java.find(tmp_path) is None
    assert java.find(tmp_path / ("x" * 300)) is None
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert java.find(tmp_path) == Cacerts(place=tmp_path / place, keytool=str(tmp_path / "bin/keytool"))


@pytest.mark.parametrize("place", ["lib/security/cacerts", "jre/lib/security/cacerts"])
def test_file_of_a_java_no_longer_used_has_its_keytool(place: str, tmp_path: Path) -> None:
    assert java.recorded(tmp_path / place).keytool == "keytool"
    assert java.recorded(Path("/cacerts")).keytool == "keytool"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/keytool").touch()
    assert java.recorded(tmp_path / place) == Cacerts(
        place=tmp_path / place, keytool=str(tmp_path / "bin/keytool"), as_root=True
    )


@pytest.mark.parametrize(
    "place",
    [
        "/etc/pki/ca-trust/extracted/java/cacerts",
        "/etc/ca-certificates/extracted/java-cacerts.jks",
        "/var/lib/ca-certificates/java-cacerts",
    ],
)
def test_files_written_again_by_the_system_are_known(place: str) -> None:
    assert java.at(Path(place), keytool="keytool").follows_system
    assert not java.at(Path("/opt/jdk/lib/security/cacerts"), keytool="keytool").follows_system


def test_the_commands() -> None:
    store, name = Cacerts(place=Path("/jdk/cacerts"), keytool="/jdk/bin/keytool", as_root=True), ours().label
    (add,), (remove,) = store.add(ours(), FILE).commands, store.remove(ours(), FILE).commands
    where = f"-keystore /jdk/cacerts -storepass changeit -alias {name}"
    assert " ".join(add.argv) == f"/jdk/bin/keytool -importcert -noprompt -trustcacerts -file {FILE} {where}"
    assert " ".join(remove.argv) == f"/jdk/bin/keytool -delete {where}"
    assert (add.as_root, remove.as_root) == (True, True)


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
