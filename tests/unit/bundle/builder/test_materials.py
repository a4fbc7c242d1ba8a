"""What components were made of: modules as the linker wrote them down, packages as dpkg did."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.builder import debian, golang
from sandbox.bundle.builder.materials import Material, note, of
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from tests.support.programs import make_program

GO = """#!/bin/sh
case "$1" in
version) cat {listing} ;;
esac
"""
LISTING = """\
/x/bin/kind: go1.26.4
\tpath\tsigs.k8s.io/kind
\tmod\texample.com/ours\t(devel)\t
\tdep\tgithub.com/BurntSushi/toml\tv1.4.0\th1:x
\tdep\texample.com/old\tv1.0.0
\t=>\texample.com/new\tv2.0.0\th1:y
\tbuild\t-trimpath=true
"""
STATUS = """\
Package: one
Status: install ok installed
Architecture: amd64
Version: 1.0-2

Package: other
Architecture: all
Version: 1:3+b1
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A cache with a Go toolchain that lists two modules and its standard library."""
    listing, go = tmp_path / "listing", tmp_path / "go"
    listing.write_text(LISTING)
    make_program(go, GO.format(listing=listing))
    monkeypatch.setattr(golang, "toolchain", lambda _: go)
    return Store(tmp_path / "bundle")


def test_modules_listed_are_those_linked_after_replacement(store: Store) -> None:
    recipe = recipes()["kind"]
    with store.filling(recipe) as folder:
        (folder / "bin").mkdir()
        (folder / "bin" / "kind").touch()
        note(recipe, store, folder)
    assert of(recipe, store) == (
        Material("golang", "example.com/new", "v2.0.0"),
        Material("golang", "github.com/BurntSushi/toml", "v1.4.0"),
        Material("golang", "stdlib", "1.26.4"),
    )


def tree(store: Store, name: str) -> Path:
    """A Debian tree of two packages, where /bin leads to /usr/bin."""
    with store.filling(recipes()[name]) as folder:
        root = folder / "tree"
        info = root / debian.DATABASE / "info"
        info.mkdir(parents=True)
        (root / "usr" / "bin").mkdir(parents=True)
        (root / "bin").symlink_to("usr/bin")
        (root / "usr" / "bin" / "busybox").write_text("#!")
        (root / debian.DATABASE / "status").write_text(STATUS)
        (info / "one:amd64.list").write_text("/.\n/bin\n/bin/busybox\n")
        (info / "other.list").write_text("/.\n/usr\n/usr/share/other\n")
    return store.tree(recipes()[name])


ONE, OTHER = Material("deb", "one", "1.0-2"), Material("deb", "other", "1:3+b1")


def test_tree_lists_all_packages_image_only_those_with_files(store: Store) -> None:
    tree(store, "bookworm")
    for name, wanted in (("bookworm", (ONE, OTHER)), ("busybox", (ONE,))):
        recipe = recipes()[name]
        store.folder(recipe).mkdir(exist_ok=True)
        note(recipe, store, store.folder(recipe))
        assert of(recipe, store) == wanted
