"""Who asks for an addon decides whether it is there, and what it needs comes before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.addons import catalogue
from sandbox.components.addons.choice import Use, choose
from sandbox.errors import UsageError


@pytest.fixture
def included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of `base`, `top`, which needs it, and `one` and `other`, which need each other."""
    for name, more in {
        "base": "values: {size: small}",
        "top": "needs: [base]",
        "one": "needs: [other]",
        "other": "needs: [one]",
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "addon.yaml").write_text(f"title: {name}\n{more}\n")
        (folder / "objects.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    monkeypatch.setattr(catalogue, "INCLUDED", tmp_path)
    return tmp_path


def chosen(spec: list[Use], commanded: list[str]) -> list[tuple[str, str]]:
    return [(one.addon.name, one.by) for one in choose(spec, commanded)]


@pytest.mark.usefixtures("included")
def test_what_is_needed_comes_first_and_says_for_whom() -> None:
    assert chosen([Use("top")], []) == [("base", "top"), ("top", "spec")]
    assert chosen([], ["top"]) == [("base", "top"), ("top", "command")]


@pytest.mark.usefixtures("included")
def test_what_is_asked_for_too_is_there_for_whoever_asks() -> None:
    assert chosen([Use("top"), Use("base", {"size": "big"})], []) == [("base", "spec"), ("top", "spec")]
    assert choose([Use("top"), Use("base", {"size": "big"})], [])[0].values == {"size": "big"}
    assert chosen([Use("top")], ["base"]) == [("base", "command"), ("top", "spec")]


def test_of_two_with_one_name_the_spec_s_is_had(included: Path) -> None:
    (found,) = choose([Use(str(included / "base"), {"size": "big"})], ["base"])
    assert (found.source, found.by, found.values) == (str(included / "base"), "spec", {"size": "big"})


@pytest.mark.usefixtures("included")
def test_values_have_defaults_and_no_others_can_be_given() -> None:
    assert choose([Use("base")], [])[0].values == {"size": "small"}
    with pytest.raises(UsageError, match="no value 'sise'") as caught:
        choose([Use("base", {"sise": "big"})], [])
    assert "size" in caught.value.fix


@pytest.mark.usefixtures("included")
def test_a_circle_is_refused() -> None:
    with pytest.raises(UsageError, match="one → other → one"):
        choose([Use("one")], [])
