"""What components were made of: modules as the linker wrote them down, packages as dpkg did, each with its licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.builder import debian, golang
from sandbox.bundle.builder.materials import SPDX, Material, note, of, of_debian, recognise
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from tests.support.programs import make_program

GO = """#!/bin/sh
case "$1" in
env) echo {cache} ;;
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
    """A cache with a Go toolchain that tells of three modules, of which two have a licence."""
    cache, listing, go = tmp_path / "mod", tmp_path / "listing", tmp_path / "go"
    listing.write_text(LISTING)
    make_program(go, GO.format(cache=cache, listing=listing))
    licensed = cache / "github.com/!burnt!sushi/toml@v1.4.0"
    licensed.mkdir(parents=True)
    (licensed / "COPYING").write_text("Permission is hereby granted, free of charge, to any person obtaining a copy")
    (cache / "example.com" / "new@v2.0.0").mkdir(parents=True)
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
        Material("golang", "github.com/BurntSushi/toml", "v1.4.0", ("MIT",)),
        Material("golang", "stdlib", "1.26.4", ("BSD-3-Clause",)),
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
        (folder / debian.COPYRIGHTS).mkdir()
        (folder / debian.COPYRIGHTS / "one").write_text("License: GPL-2\n")
    return store.tree(recipes()[name])


ONE, OTHER = Material("deb", "one", "1.0-2", ("GPL-2",)), Material("deb", "other", "1:3+b1")


def test_tree_lists_all_packages_image_only_those_with_files(store: Store) -> None:
    tree(store, "bookworm")
    for name, wanted in (("bookworm", (ONE, OTHER)), ("busybox", (ONE,))):
        recipe = recipes()[name]
        store.folder(recipe).mkdir(exist_ok=True)
        note(recipe, store, store.folder(recipe))
        assert of(recipe, store) == wanted


MIT = """MIT License

Copyright (c) 2014 A. Author

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
"""
BSD = """Copyright (c) 2009 The Go Authors. All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
{more}
THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
"""


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "MIT"),
        (BSD.format(more="Neither the name of X may be used to endorse"), "BSD-3-Clause"),
        (BSD.format(more=""), "BSD-2-Clause"),
        ("           Apache License\n           Version 2.0, January 2004", "Apache-2.0"),
        ("Mozilla Public License Version 2.0\n==================================", "MPL-2.0"),
        ("Permission to use, copy, modify, and distribute this software for any\npurpose with or without fee", "ISC"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee", "ISC"),
        ("GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991", "GPL-2.0-only"),
        ("all rights reserved, by nosuch", None),
    ],
)
def test_a_licence_is_known_by_its_text(text: str, licence: str | None) -> None:
    assert recognise(text) == licence and licence in (*SPDX, None)


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ("License: GPL-2+ and LGPL-2.1\n\nLicense: Expat\n\nLicense: GPL-2+\n This", ("Expat", "GPL-2+", "LGPL-2.1")),
        ("On Debian systems see /usr/share/common-licenses/GPL-3.\n", ("GPL-3",)),
        (MIT, ("MIT",)),
        ("Do what you like.", ()),
    ],
)
def test_copyright_of_debian_names_each_licence_once(text: str, licences: tuple[str, ...]) -> None:
    assert of_debian(text) == licences
