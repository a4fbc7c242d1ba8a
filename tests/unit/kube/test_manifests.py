"""Manifests from files and folders, in an order in which they can be applied, and the images that they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import UsageError
from sandbox.kube.manifests import ingress_hosts, load, parse
from sandbox.kube.pods import pod_images


def named(kind: str, name: str = "x") -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"


def test_referenced_objects_come_first_and_rest_keeps_order(tmp_path: Path) -> None:
    folder = tmp_path / "k8s"
    (folder / "deep").mkdir(parents=True)
    manifests = map(named, ("ValidatingWebhookConfiguration", "Deployment", "ConfigMap"))
    (folder / "a.yaml").write_text("---\n".join((*manifests, "---\n")))
    (folder / "b.json").write_text('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}')
    (folder / "deep" / "c.yml").write_text(named("Namespace"))
    (folder / "notes.txt").write_text("not: a manifest")
    (tmp_path / "late.yaml").write_text(named("CustomResourceDefinition"))
    found = load([folder, tmp_path / "late.yaml"])
    first = ("Namespace", "CustomResourceDefinition", "ConfigMap", "Deployment", "Service")
    assert [manifest["kind"] for manifest in found] == [*first, "ValidatingWebhookConfiguration"]


def test_a_list_is_its_items() -> None:
    text = "apiVersion: v1\nkind: List\nmetadata: text\n"
    text += "items:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
    assert [one["metadata"]["name"] for one in parse(text, origin="x")] == ["a"]
    assert list(parse("apiVersion: v1\nkind: List\n", origin="x")) == []
    text = "apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}]\n"
    (manifest,) = parse(text, origin="x")
    assert (manifest["apiVersion"], manifest["kind"]) == ("v1", "ConfigMap")


def test_generated_name_is_stable_for_its_content() -> None:
    text = "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: seed-}\nspec: {parallelism: %d}\n"
    first, again, other = (next(parse(text % number, origin="x"))["metadata"] for number in (1, 1, 2))
    assert first == again != other
    assert re.fullmatch(r"seed-[0-9a-f]{8}", first["name"])
    assert "generateName" not in first


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (named("Pod") + "---\nkind: [\n", "app.yaml is not valid YAML"),
        (named("Pod") + "---\njust words\n", "app.yaml:5: not a Kubernetes object"),
        ("apiVersion: v1\nkind: 5\nmetadata: {name: x}\n", "app.yaml:1: not a Kubernetes object"),
        ("# a\n\napiVersion: skaffold/v3\nkind: Config\n", "app.yaml:3: this Config has no metadata.name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: [x]}\n", "metadata.name of this Pod is not text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: [y]}\n", "metadata.labels of this Pod is not a map"),
        ("apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n", "app.yaml:1, item 1: not a Kubernetes object"),
    ],
)
def test_non_object_is_named_by_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    """A manifest that holds no object → file and line."""
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load([tmp_path / "app.yaml"])
    assert said in caught.value.brief
    assert "app.yaml" in caught.value.brief
    assert "no metadata.name" not in said or "a chart as {chart: FOLDER}" in caught.value.fix


def test_a_file_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"app.yaml: no such file or folder"):
        load([tmp_path / "app.yaml"])
    (tmp_path / "app.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"app.yaml:1: not UTF-8 text"):
        load([tmp_path / "app.yaml"])


def test_hosts_of_an_ingress_pass_over_rules_of_another_form() -> None:
    rules = [{"host": "*.b.test"}, "x", {"http": {}}, {"host": ["c.test"]}, {"host": ""}, {"host": "a.test"}]
    assert list(ingress_hosts({"spec": {"rules": rules}})) == ["*.b.test", "a.test"]


POD = {"initContainers": [{"image": "init:1"}], "containers": [{"image": "main:1"}, {"name": "c"}]}


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "Deployment", "spec": {"template": {"spec": POD}}},
        {"kind": "Pod", "spec": POD},
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": POD}}}}},
    ],
)
def test_pods_and_their_templates_have_images(manifest: dict[str, Any]) -> None:
    assert list(pod_images(manifest)) == ["init:1", "main:1"]
