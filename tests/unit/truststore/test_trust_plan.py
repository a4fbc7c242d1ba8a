"""What is decided from what stores hold: nothing twice, nothing of others, nothing by surprise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.truststore import trust_plan
from sandbox.truststore.anchors import DEBIAN
from sandbox.truststore.bundlefile import BundleFile
from sandbox.truststore.change import Holding, Kind, Store
from sandbox.truststore.java import Cacerts
from sandbox.truststore.nss import Database
from sandbox.truststore.trust_plan import Plan
from sandbox.truststore.trusted_root import Root
from tests.support.trust_roots import machine, ours

NSS = Database(Path("/home/me/.pki/nssdb"))
JAVA = Cacerts(Path("/jdk/cacerts"), "keytool")
FOLLOWING = Cacerts(Path("/etc/ssl/certs/java/cacerts"), "keytool", True, "debian:", ".pem")
HERE = machine(Path("/nowhere"))


def holding(store: Store, *roots: Root) -> Holding:
    return Holding(store, roots, roots)


def titles(planned: Plan) -> list[tuple[bool, Root, Store | Path]]:
    return [(change.adds, change.root, change.place) for change in planned.changes]


def python(folder: Path) -> BundleFile:
    (folder / "system.pem").write_text("# roots\n")
    return BundleFile(folder / "bundle.pem", (folder / "system.pem",))


def test_by_default_every_store_but_pythons_is_meant(tmp_path: Path) -> None:
    found = [holding(store) for store in (NSS, python(tmp_path), JAVA, DEBIAN)]
    planned = trust_plan.trust(ours(), [], found, HERE, [])
    assert titles(planned) == [(True, ours(), one.place) for one in (NSS, JAVA, DEBIAN)]


@pytest.mark.parametrize("kind", Kind)
def test_a_named_store_is_meant_alone(kind: Kind, tmp_path: Path) -> None:
    found = [holding(store) for store in (NSS, python(tmp_path), JAVA, DEBIAN)]
    assert [change.kind for change in trust_plan.trust(ours(), [], found, HERE, [kind]).changes] == [kind]


def test_a_second_time_changes_nothing() -> None:
    planned = trust_plan.trust(ours(), [], [holding(NSS, ours()), holding(DEBIAN, ours())], HERE, [])
    assert planned.changes == ()
    assert planned.unchanged == (f"nss: {NSS.place}", f"system: {DEBIAN.place}")


def test_a_replaced_root_goes_from_every_store_first() -> None:
    found = [holding(NSS, ours(1), ours(2)), holding(JAVA, ours(1)), holding(DEBIAN, ours(1))]
    planned = trust_plan.trust(ours(3), [ours(1)], found, HERE, [Kind.SYSTEM])
    gone = [(False, ours(1), one.place) for one in (NSS, JAVA, DEBIAN)]
    assert titles(planned) == [*gone, (True, ours(3), DEBIAN.place)]


def test_a_java_that_follows_the_system_is_left_to_it() -> None:
    found = [holding(FOLLOWING), holding(DEBIAN)]
    planned = trust_plan.trust(ours(), [], found, HERE, [Kind.JAVA, Kind.SYSTEM])
    assert titles(planned) == [(True, ours(), DEBIAN.place)]
    assert "follows the system's store" in planned.notes[0]
    with pytest.raises(UsageError, match="follows the system's") as refused:
        trust_plan.trust(ours(), [], found, HERE, [Kind.JAVA])
    assert "--store system" in refused.value.fix


def test_what_the_system_copied_into_java_goes_before_it_is_copied_again() -> None:
    planned = trust_plan.untrust(lambda root: True, [holding(FOLLOWING, ours()), holding(DEBIAN, ours())], HERE)
    assert titles(planned) == [(False, ours(), FOLLOWING.place), (False, ours(), DEBIAN.place)]


def test_only_what_is_meant_goes() -> None:
    found = [holding(NSS, ours(1), ours(2)), holding(DEBIAN, ours(2))]
    assert titles(trust_plan.untrust({ours(1)}.__contains__, found, HERE)) == [(False, ours(1), NSS.place)]


def test_what_came_by_other_means_stays_and_is_told() -> None:
    planned = trust_plan.untrust(lambda root: True, [Holding(NSS, (ours(),), ())], HERE)
    assert planned.changes == ()
    assert "by other means" in planned.notes[0]


@pytest.mark.parametrize("kind", Kind)
def test_a_store_that_is_not_here_is_an_error_when_asked_for(kind: Kind) -> None:
    with pytest.raises(UsageError, match=f"no {kind.value} store") as refused:
        trust_plan.trust(ours(), [], [], HERE, [kind])
    assert refused.value.fix
    assert trust_plan.trust(ours(), [], [], HERE, []).changes == ()


@pytest.mark.security(13)
@pytest.mark.parametrize("kind", [Kind.NSS, Kind.PYTHON])
def test_a_users_own_stores_are_refused_under_sudo(kind: Kind) -> None:
    """`sudo sandbox certs trust` for a user's store → refused."""
    under_sudo = machine(Path("/nowhere"), is_root=True, sudo_user="ann")
    with pytest.raises(UsageError, match="ann's own and is not changed under sudo") as refused:
        trust_plan.trust(ours(), [], [holding(DEBIAN)], under_sudo, [kind])
    assert "without sudo" in refused.value.fix
    planned = trust_plan.trust(ours(), [], [holding(DEBIAN)], under_sudo, [])
    assert titles(planned) == [(True, ours(), DEBIAN.place)]
    assert planned.notes == ("the browsers of ann are not touched under sudo: run this without sudo too",)


@pytest.mark.parametrize("kinds", [[], [Kind.SYSTEM]])
def test_nixos_is_told_what_to_write(kinds: list[Kind]) -> None:
    notes = trust_plan.trust(ours(), [], [], machine(Path("/nowhere"), "nixos"), kinds).notes
    assert notes == (
        f"NixOS: add to configuration.nix: security.pki.certificateFiles = [ /nowhere/trust/{ours().label}.crt ];",
    )


def test_windows_under_linux_is_told_what_to_run() -> None:
    windows = machine(Path("/nowhere"), wsl=True)
    (there,) = trust_plan.trust(ours(), [], [holding(DEBIAN, ours())], windows, []).notes
    assert f'certutil.exe -user -addstore Root "$(wslpath -w /nowhere/trust/{ours().label}.crt)"' in there
    (back,) = trust_plan.untrust(lambda root: True, [holding(DEBIAN, ours())], windows).notes
    assert f"certutil.exe -user -delstore Root {ours().sha1}" in back


def test_a_browser_that_was_never_started_is_named() -> None:
    with_chrome = machine(Path("/nowhere"), browsers=("chromium",))
    (note,) = trust_plan.trust(ours(), [], [holding(DEBIAN)], with_chrome, []).notes
    assert note == "chromium has no certificate database yet: start it once, then run this again"
    assert trust_plan.trust(ours(), [], [holding(NSS)], with_chrome, []).notes == ()


def test_what_follows_the_system_by_names_of_its_own_leaves_with_it() -> None:
    extracted = Cacerts(Path("/etc/pki/ca-trust/extracted/java/cacerts"), "keytool", follows_system=True)
    planned = trust_plan.untrust(lambda root: True, [Holding(extracted, (ours(),), ()), holding(DEBIAN, ours())], HERE)
    assert titles(planned) == [(False, ours(), DEBIAN.place)]
    assert planned.notes == ()
