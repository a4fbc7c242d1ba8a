"""The addons that come with the sandbox are whole, and what is wrong with one of the user's own is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.components.addons import catalogue
from sandbox.components.addons.addon import Addon, read
from sandbox.components.addons.placeholders import used
from sandbox.errors import UsageError
from sandbox.kube import manifests

KNOWN = {"sandbox", "domain", "registry", "https_port", "node", "node_address", "node_hosts", "kubelet_ca"}


@pytest.mark.parametrize("addon", catalogue.included(), ids=lambda one: one.name)
def test_an_included_one_is_whole(addon: Addon) -> None:
    about = addon.about
    if about.instead:
        assert not addon.files
        return
    objects = manifests.load(addon.files)
    assert used(objects) <= KNOWN | about.values.keys() | about.images.keys()
    assert about.values.keys() | about.images.keys() <= used(objects)
    assert all(recipes()[name].image for name in about.images.values())
    assert all(catalogue.find(need).about.instead is None for need in about.needs)


def test_what_is_a_setting_of_the_spec_is_told_so() -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.find("cert-manager")
    assert "certs: {issuer: cert-manager}" in caught.value.fix


def test_an_unknown_one_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no addon 'metrics'") as caught:
        catalogue.find("metrics")
    assert "metrics-server" in caught.value.fix and "gateway-api" not in caught.value.fix


def test_a_folder_is_an_addon_named_by_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "more").mkdir(parents=True)
    (folder / "addon.yaml").write_text("title: a thing\n")
    for name in ("b.yaml", "a.yml", "more/c.json", "README.md"):
        (folder / name).write_text("{}")
    addon = catalogue.find(str(folder))
    assert (addon.name, addon.about.title) == ("mine", "a thing")
    assert [file.name for file in addon.files] == ["a.yml", "b.yaml", "c.json"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("My_Addon", "title: x\n", "cannot be an addon"),
        ("mine", None, "no such file"),
        ("mine", "titel: x\n", "unknown key 'titel'"),
        ("mine", "title: x\n", "has no manifests"),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if text:
        (folder / "addon.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read(folder)
