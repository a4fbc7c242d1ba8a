"""Debian trees, made by scripts in place of apt-get and debootstrap, and what is taken out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.builder import debian
from sandbox.bundle.builder.debian import closure
from sandbox.bundle.recipe import DebianTree
from sandbox.errors import MissingTool
from tests.support.programs import make_program

MIRRORS = """http://mirror.example/debian bookworm Debian
http://mirror.example/debian bookworm-updates Debian
http://mirror.example/debian-security bookworm-security Debian
https://packages.example/tools stable Tools
"""
APT = """#!/bin/sh
case "$1" in
indextargets) cat {folder}/mirrors; exit 0 ;;
esac
echo apt-get "$@" >>{folder}/calls
cat "$2" >{folder}/settings
"""
DEBOOTSTRAP = """#!/bin/sh
echo debootstrap "$@" >>{folder}/calls
for word; do root=$last; last=$word; done
mkdir -p "$root/usr/share/doc" "$root/etc/apt"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small merged-/usr system without programs."""
    root = tmp_path / "root"
    for folder in ("usr/sbin", "usr/lib/plugins/deep", "etc/alternatives", "usr/share"):
        (root / folder).mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    (root / "usr/sbin/tables-nft").write_text("#!")
    (root / "usr/sbin/tables").symlink_to("/etc/alternatives/tables")
    (root / "etc/alternatives/tables").symlink_to("../../usr/sbin/tables-nft")
    (root / "usr/sbin/far").symlink_to("../../../../../usr/sbin/tables-nft")
    (root / "usr/lib/plugins/a.so").write_text("a")
    (root / "usr/lib/plugins/deep/b.so").write_text("b")
    (root / "usr/lib/plugins/inside.so").symlink_to("a.so")
    (root / "usr/lib/plugins/outside.so").symlink_to("/usr/share/c.so")
    (root / "usr/lib/plugins/dangling.so").symlink_to("/etc/hostname")
    (root / "usr/share/c.so").write_text("c")
    return root


def names(root: Path, *paths: str) -> list[str]:
    return [str(path.relative_to(root)) for path in closure(root, paths)]


@pytest.mark.security(9)
@pytest.mark.parametrize(
    ("paths", "files"),
    [
        (["tables"], ["usr/sbin/tables", "etc/alternatives/tables", "usr/sbin/tables-nft"]),
        (["tables-nft"], ["usr/sbin/tables-nft"]),
        (["far"], ["usr/sbin/far", "usr/sbin/tables-nft"]),
        (["tables-nft", "far"], ["usr/sbin/tables-nft", "usr/sbin/far"]),
    ],
)
def test_links_are_followed_inside_the_tree_only(root: Path, paths: list[str], files: list[str]) -> None:
    """Links inside a Debian tree, also above its root → followed inside it only, each file once."""
    assert names(root, *(f"/sbin/{path}" for path in paths)) == files


def test_folder_is_copied_whole_with_link_targets(root: Path) -> None:
    assert set(names(root, "/usr/lib/plugins")) == {
        "usr/lib/plugins/a.so",
        "usr/lib/plugins/deep/b.so",
        "usr/lib/plugins/inside.so",
        "usr/lib/plugins/outside.so",
        "usr/share/c.so",
        "usr/lib/plugins/dangling.so",
    }


def test_file_missing_from_tree_is_an_error_if_machine_has_it(root: Path) -> None:
    for path in ("/etc/hostname", "/usr/sbin/none"):
        with pytest.raises(FileNotFoundError, match=path):
            closure(root, [path])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian machine with its keys; the folder of what its tools were called with."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    (tmp_path / "bin").mkdir()
    for name, script in (("apt-get", APT), ("debootstrap", DEBOOTSTRAP)):
        make_program(tmp_path / "bin" / name, script.format(folder=tmp_path))
    (tmp_path / "mirrors").write_text(MIRRORS)
    (tmp_path / "keys.gpg").touch()
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "keys.gpg")
    return tmp_path


def tree(configured: bool) -> DebianTree:
    return DebianTree(suite="bookworm", refreshed="2026-11-26", packages=("runc",), configured=configured)


@pytest.mark.security(7)
def test_the_node_has_signed_security_updates(machine: Path) -> None:
    """A Debian mirror → signatures always checked; the suite's updates and security updates are installed too."""
    root = machine / "tree"
    debian.make_tree(tree(configured=True), root, lambda line: None)
    first, *others = (machine / "calls").read_text().splitlines()
    assert first.startswith(f"debootstrap --force-check-gpg --keyring={machine}/keys.gpg ")
    assert first.endswith(f" bookworm {root} http://mirror.example/debian")
    assert [line.partition("-q ")[2] for line in others] == ["update", "dist-upgrade --yes"]
    signed = f"deb [signed-by={machine}/keys.gpg] http://mirror.example/debian"
    assert (root / "etc/apt/sources.list").read_text() == (
        f"{signed} bookworm main\n{signed} bookworm-updates main\n{signed}-security bookworm-security main\n"
    )
    settings = (machine / "settings").read_text()
    assert f'DPkg::Chroot-Directory "{root}";' in settings
    assert 'Acquire::AllowInsecureRepositories "false";' in settings


@pytest.mark.security(7)
@pytest.mark.parametrize("configured", [True, False])
def test_without_debians_keys_nothing_is_fetched(
    machine: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    """A machine without debian-archive-keyring → nothing is fetched, and the package to install is named."""
    (machine / "keys.gpg").unlink()
    with pytest.raises(MissingTool, match="keys") as caught:
        debian.make_tree(tree(configured), machine / "tree", lambda line: None)
    assert "apt-get install debian-archive-keyring" in caught.value.fix
    assert not (machine / "calls").exists()


def test_missing_security_mirror_is_reported(machine: Path) -> None:
    lines = [line for line in MIRRORS.splitlines() if "security" not in line]
    (machine / "mirrors").write_text("\n".join(lines))
    with pytest.raises(MissingTool, match="no mirror of its security updates"):
        debian.make_tree(tree(configured=False), machine / "tree", lambda line: None)
