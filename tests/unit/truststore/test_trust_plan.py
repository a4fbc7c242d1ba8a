"""Changes follow from what stores hold, are made by the commands that were shown, and stop at the first failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.truststore import trust_plan
from sandbox.truststore.java import Cacerts
from sandbox.truststore.nss import Database
from sandbox.truststore.stores import Holding, Store
from sandbox.truststore.system_stores import DEBIAN
from sandbox.truststore.trust_plan import Performer, Plan
from sandbox.truststore.trusted_root import Change, Kind, Root
from tests.support.trust_roots import machine, ours

NSS = Database(Path("/home/me/.pki/nssdb"))
JAVA = Cacerts(place=Path("/jdk/cacerts"), keytool="keytool")
DEBIAN_CACERTS = Path("/etc/ssl/certs/java/cacerts")
FOLLOWING = Cacerts(place=DEBIAN_CACERTS, keytool="keytool", follows_system=True, alias="debian:{}.pem")
HERE = machine(Path("/nowhere"))


def holding(store: Store, *roots: Root) -> Holding:
    return Holding(store, roots, roots)


def titles(planned: Plan) -> list[tuple[bool, Root, Store | Path]]:
    return [(change.adds, change.root, change.place) for change in planned.changes]


def test_root_is_added_where_it_is_missing() -> None:
    holdings = [holding(store) for store in (NSS, JAVA, DEBIAN)]
    planned = trust_plan.trust(ours(), [], holdings, HERE, [])
    assert titles(planned) == [(True, ours(), store.place) for store in (NSS, JAVA, DEBIAN)]
    for kind in Kind:
        assert [change.kind for change in trust_plan.trust(ours(), [], holdings, HERE, [kind]).changes] == [kind]
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


def test_a_store_that_is_not_here_is_an_error_when_asked_for() -> None:
    assert trust_plan.trust(ours(), [], [], HERE, []).changes == ()
    for kind in Kind:
        with pytest.raises(UsageError, match=f"no {kind.value} store"):
            trust_plan.trust(ours(), [], [], HERE, [kind])


@pytest.mark.security(13)
def test_a_users_own_stores_are_refused_under_sudo() -> None:
    """`sudo sandbox certs trust` for a user's store → refused."""
    under_sudo = machine(Path("/nowhere"), is_root=True, sudo_user="ann")
    with pytest.raises(UsageError, match="belongs to ann and is not changed under sudo") as refused:
        trust_plan.trust(ours(), [], [holding(DEBIAN)], under_sudo, [Kind.NSS])
    assert "without sudo" in refused.value.fix
    planned = trust_plan.trust(ours(), [], [holding(DEBIAN)], under_sudo, [])
    assert titles(planned) == [(True, ours(), DEBIAN.place)]
    assert planned.notes == ("sudo does not change the browsers of ann: run this without sudo too",)


def test_a_browser_that_was_never_started_is_named() -> None:
    with_chrome = machine(Path("/nowhere"), browsers=("chromium",))
    (note,) = trust_plan.trust(ours(), [], [holding(DEBIAN)], with_chrome, []).notes
    assert note == "chromium has no certificate database yet: start it once, then run this again"
    assert trust_plan.trust(ours(), [], [holding(NSS)], with_chrome, []).notes == ()


def test_only_roots_that_sandbox_added_are_removed() -> None:
    extracted = Cacerts(place=Path("/etc/pki/ca-trust/extracted/java/cacerts"), keytool="keytool", follows_system=True)
    added = [holding(FOLLOWING, ours()), Holding(extracted, (ours(),), ()), holding(DEBIAN, ours())]
    planned = trust_plan.untrust([ours()], [*added, Holding(NSS, (ours(),), ())])
    assert titles(planned) == [(False, ours(), FOLLOWING.place), (False, ours(), DEBIAN.place)]
    (note,) = planned.notes
    assert "nss" in note and "sandbox did not add it" in note


def change(*commands: tuple[str, ...], adds: bool = True, as_root: bool = False) -> Change:
    place = Path("/store")
    return Change(kind=Kind.SYSTEM, place=place, adds=adds, root=ours(), commands=commands, as_root=as_root)


@pytest.mark.security(13)
@pytest.mark.parametrize(
    ("is_root", "at_terminal", "shown"),
    [(False, True, "sudo install 'a b'"), (False, False, "sudo -n install 'a b'"), (True, False, "install 'a b'")],
)
def test_root_is_asked_for_only_where_it_is_needed(
    is_root: bool, at_terminal: bool, shown: str, tmp_path: Path
) -> None:
    """Stores of the user and of the system → sudo for the system's alone."""
    performer = Performer(machine(tmp_path, is_root=is_root), at_terminal=at_terminal)
    assert performer.shown(change(("install", "a b"), as_root=True)) == (shown,)
    assert performer.shown(change(("certutil", "-A"))) == ("certutil -A",)


@pytest.mark.fault(31)
@pytest.mark.parametrize("at_terminal", [True, False])
def test_changes_stop_at_the_first_that_fails(at_terminal: bool, tmp_path: Path) -> None:
    """A store refuses the change → the error says which; what comes after is left alone."""
    done: list[Change] = []
    first = change(("touch", str(tmp_path / "one")))
    second = change(("sh", "-c", "echo no such luck; exit 7"), ("touch", str(tmp_path / "two")))
    with pytest.raises(SandboxError, match="could not add") as stopped:
        Performer(machine(tmp_path), at_terminal=at_terminal).perform([first, second], done.append)
    assert "no such luck" in stopped.value.details
    assert "status 7" in stopped.value.details
    assert done == [first]
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


@pytest.mark.fault(31)
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("tool", ["certutil", "keytool"])
def test_missing_tool_is_named(tool: str, adds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certutil is not installed → the package that has it, and how to leave the store out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=f"{tool} is not installed") as missing:
        Performer(machine(tmp_path), at_terminal=False).require_tools([change((tool, "-A"), adds=adds)])
    assert "install" in missing.value.fix
    assert ("--store" in missing.value.fix) is adds
    assert ("libnss3-tools" in missing.value.fix) is (tool == "certutil")


def test_tools_in_the_administrators_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    performer = Performer(machine(tmp_path, is_root=True), at_terminal=False)
    performer.require_tools([change(("chroot", "/"), as_root=True)])
    with pytest.raises(MissingTool, match="sudo is not installed"):
        Performer(machine(tmp_path), at_terminal=False).require_tools([change(("chroot", "/"), as_root=True)])
