"""What is taken out of a Debian tree: files with the links on the way to them, as seen from inside the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.builder.debian import closure


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
