"""Manifests from files and folders, in an order in which they can be applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import UsageError
from sandbox.kube.manifests import load, parse


def kinds(found: tuple[dict[str, Any], ...]) -> list[str]:
    return [one["kind"] for one in found]


def named(kind: str, name: str = "x") -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"


def test_what_others_refer_to_comes_first_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "k8s"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.yaml").write_text(named("Deployment") + "---\n" + named("ConfigMap") + "---\n---\n")
    (folder / "b.json").write_text('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}')
    (folder / "deep" / "c.yml").write_text(named("Namespace"))
    (folder / "notes.txt").write_text("not: a manifest")
    (tmp_path / "late.yaml").write_text(named("CustomResourceDefinition"))
    found = load([folder, tmp_path / "late.yaml"])
    assert kinds(found) == ["Namespace", "CustomResourceDefinition", "ConfigMap", "Deployment", "Service"]


def test_an_empty_folder_and_an_empty_file_have_no_objects(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load([tmp_path]) == ()


def test_a_list_is_its_items() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
    assert [one["metadata"]["name"] for one in parse(text, origin="x")] == ["a"]
    assert list(parse("apiVersion: v1\nkind: List\n", origin="x")) == []


def test_dates_stay_text_as_they_do_for_kubectl() -> None:
    text = named("ConfigMap") + "data: {day: 2026-01-02, time: 2026-01-02T03:04:05Z, on: 'yes', number: 5}\n"
    (found,) = parse(text, origin="x")
    assert found["data"]["day"] == "2026-01-02"
    assert found["data"]["time"] == "2026-01-02T03:04:05Z"
    assert found["data"]["number"] == 5


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (named("Pod") + "---\nkind: [\n", "app.yaml is not valid YAML"),
        (named("Pod") + "---\njust words\n", "app.yaml, document 2, is not a Kubernetes object"),
        ("kind: Pod\n", "document 1, is not a Kubernetes object"),
        ("apiVersion: v1\nkind: 5\nmetadata: {name: x}\n", "document 1, is not a Kubernetes object"),
        ("apiVersion: v1\nkind: Pod\n", "this Pod has no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: text\n", "this Pod has no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "this Pod has no metadata.name"),
        ("apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n", "document 1, item 1, is not a Kubernetes object"),
    ],
)
def test_what_is_no_object_is_named_by_file_and_document(tmp_path: Path, text: str, said: str) -> None:
    """A manifest that holds no object → file and document."""
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load([tmp_path / "app.yaml"])
    assert said in caught.value.brief
    assert "app.yaml" in caught.value.brief


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "app.yaml").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        load([tmp_path / "app.yaml"])
