"""The system's stores: which one a machine has, what it holds, and the exact commands that change it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sandbox.truststore.system_stores import ARCH, DEBIAN, FEDORA, LAYOUTS, SUSE, Anchors, find_anchors
from tests.support.trust_roots import FILE, ours, stranger

NAME = ours().label


def lines(argvs: list[tuple[str, ...]]) -> list[str]:
    return [" ".join(argv) for argv in argvs]


@pytest.mark.parametrize(
    ("layout", "copy", "update", "refresh"),
    [
        (
            DEBIAN,
            f"/usr/local/share/ca-certificates/{NAME}.crt",
            "update-ca-certificates",
            "update-ca-certificates --fresh",
        ),
        (FEDORA, f"/etc/pki/ca-trust/source/anchors/{NAME}.pem", "update-ca-trust extract", "update-ca-trust extract"),
        (
            ARCH,
            f"/etc/ca-certificates/trust-source/anchors/{NAME}.crt",
            "trust extract-compat",
            "trust extract-compat",
        ),
        (SUSE, f"/usr/share/pki/trust/anchors/{NAME}.pem", "update-ca-certificates", "update-ca-certificates"),
    ],
    ids=["debian", "fedora", "arch", "suse"],
)
def test_the_commands_of_each_distribution(layout: Anchors, copy: str, update: str, refresh: str) -> None:
    add, remove = layout.add(ours(), FILE), layout.remove(ours(), FILE)
    assert lines([one.argv for one in add.commands]) == [f"install -m 0644 {FILE} {copy}", update]
    assert lines([one.argv for one in remove.commands]) == [f"rm -f {copy}", refresh]
    assert all(one.as_root for one in (*add.commands, *remove.commands))


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
