"""Changes are made by the command lines that were shown, and stop at the first that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import MissingTool, SandboxError
from sandbox.truststore.bundlefile import BundleFile
from sandbox.truststore.change import Change, Command, Kind
from sandbox.truststore.perform import Performer
from tests.support.trust_roots import FILE, machine, ours


def change(*commands: Command) -> Change:
    return Change(Kind.SYSTEM, Path("/store"), True, ours(), commands)


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
    commands = (Command(("install", "a b"), as_root=True), Command(("certutil", "-A")))
    assert performer.shown(change(*commands)) == (shown, "certutil -A")


def test_files_of_ours_are_shown_and_written(tmp_path: Path) -> None:
    performer, done = Performer(machine(tmp_path), at_terminal=False), list[Change]()
    (tmp_path / "system.pem").write_text("# roots\n")
    store = BundleFile(tmp_path / "bundle.pem", (tmp_path / "system.pem",))
    planned = [store.add(ours(), FILE), store.remove(ours(), FILE)]
    assert performer.shown(planned[0]) == (f"(write {store.place})",)
    performer.perform(planned[:1], done.append)
    assert store.trusted() == (ours(),)
    performer.perform(planned[1:], done.append)
    assert not store.place.exists()
    assert done == planned


@pytest.mark.fault(31)
@pytest.mark.parametrize("at_terminal", [True, False])
def test_changes_stop_at_the_first_that_fails(at_terminal: bool, tmp_path: Path) -> None:
    """A store refuses the change → the error says which; what comes after is left alone."""
    done: list[Change] = []
    first = change(Command(("touch", str(tmp_path / "one"))))
    second = change(Command(("sh", "-c", "echo no such luck; exit 7")), Command(("touch", str(tmp_path / "two"))))
    with pytest.raises(SandboxError, match="could not add") as stopped:
        Performer(machine(tmp_path), at_terminal=at_terminal).perform([first, second], done.append)
    assert "no such luck" in stopped.value.details
    assert "status 7" in stopped.value.details
    assert done == [first]
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("kin", "fix"),
    [
        (("ubuntu", "debian"), "sudo apt install libnss3-tools"),
        (("fedora",), "sudo dnf install nss-tools"),
        (("rocky", "rhel", "centos", "fedora"), "sudo dnf install nss-tools"),
        (("opensuse-leap", "suse", "opensuse"), "sudo zypper install mozilla-nss-tools"),
        (("darwin",), "brew install nss"),
        (("plan9",), "install certutil, of Network Security Services (NSS)"),
    ],
)
def test_a_missing_certutil_is_named_with_its_package(
    kin: tuple[str, ...], fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certutil is not installed → the package that has it, by distribution."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="certutil is not installed") as missing:
        Performer(machine(tmp_path, *kin), at_terminal=False).require_tools([change(Command(("certutil", "-A")))])
    assert missing.value.fix == f"{fix}\nor leave browsers out: --store system"


def test_tools_in_the_administrators_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    performer = Performer(machine(tmp_path, is_root=True), at_terminal=False)
    performer.require_tools([change(Command(("chroot", "/"), as_root=True))])
    with pytest.raises(MissingTool, match="sudo is not installed"):
        Performer(machine(tmp_path), at_terminal=False).require_tools([change(Command(("chroot", "/"), as_root=True))])
