"""`sandbox config validate`: what cannot be used is an error, what may not work is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sandbox.cli.config import validate
from sandbox.components.workloads.helm import Helm
from sandbox.errors import BadFile, UsageError
from sandbox.kube import manifests

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: '%s'}]}\n---\n"
OWN = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n---\n"
UNPROVIDED = (
    "Pod p: nothing provides the image localhost:5001/team/api:dev; add to images.yaml: "
    "- {from: build, context: ./api, as: team/api:dev}"
)
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, names: {kind: Widget}}
---
"""


def check(folder: Path, spec: str, *words: str, **files: str) -> Result:
    """Validate a spec next to files such as `k8s`, which is k8s.yaml."""
    for name, text in {"sandbox": spec, **files}.items():
        (folder / f"{name}.yaml").write_text(text)
    return CliRunner().invoke(validate, ["-f", str(folder / "sandbox.yaml"), *words], catch_exceptions=False)


@pytest.mark.parametrize(
    ("objects", "count", "notes"),
    [
        (POD % "nginx:1.27" + OWN + DEFINITION, 3, []),
        (POD % "localhost:5001/team/app:dev", 1, []),
        ("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: true\n", 1, []),
        (POD % "localhost:5001/team/api:dev", 1, [UNPROVIDED]),
    ],
)
def test_doubtful_settings_are_noted(tmp_path: Path, objects: str, count: int, notes: list[str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    images = "images: [{from: build, context: ., as: 'team/app:dev'}]\n"
    spec = "name: shop\npush: images.yaml\napply: [k8s.yaml]\naddons: [grafana]\n"
    printed = check(tmp_path, spec, "-o", "json", images=images, k8s=objects)
    result = json.loads(printed.stdout)
    assert [note.partition("   (or")[0] for note in result.pop("notes")] == notes and printed.stderr == ""
    domain = "shop.sandbox.localhost"
    assert result == {"name": "shop", "domain": domain, "addons": 1, "images": 1, "objects": count}


def test_chart_that_is_not_pulled_is_noted(tmp_path: Path) -> None:
    """No network is used; what cannot be looked at is said."""
    printed = check(tmp_path, "name: shop\napply: [{chart: 'oci://registry.example/web', version: 1.2.3}]\n")
    assert printed.exit_code == 0
    assert printed.stderr == "note   not pulled yet, and not looked at: oci://registry.example/web 1.2.3\n"


@pytest.mark.parametrize(
    ("spec", "message", "fix"),
    [
        ("apply: [k8s.yaml]", "sandbox.yaml:2: apply[0]: k8s.yaml does not exist", "create it, or remove it from"),
        ("apply: [{chart: web}]", "sandbox.yaml:2: apply[0].chart: web does not exist", "create it"),
        ("apply:\n- {kustomize: k}", "sandbox.yaml:3: apply[0].kustomize: k does not exist", "create it"),
        ("certs: {default: {cert: sandbox.yaml, key: own.key}}", "certs.default.key: own.key does not exist", "create"),
        ("credentials: [{kind: gcr, file: key.json}]", "credentials[0].file: key.json does not exist", "create it"),
        ("addons: [metric-server]", "sandbox.yaml:2: addons[0]: ", "did you mean metrics-server"),
        ("addons: grafana", "sandbox.yaml:2: addons: must be a list, not 'grafana'", ""),
        ("push: images.yaml", "images.yaml:3: images[1]: api does not exist", "create it, or correct `context`"),
        ("apply: [image.yaml]", "image.yaml:1: Pod p: 'nginx:1.27:oops' is not an image", "write [HOST"),
    ],
)
def test_missing_or_wrong_values_have_file_line_key_and_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str, fix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"images": "images:\n- nginx\n- {from: build, context: api, as: a}\n", "image": POD % "nginx:1.27:oops"}
    with pytest.raises(BadFile) as caught:
        check(Path(), f"name: shop\n{spec}\n", **files)
    assert message in caught.value.brief and caught.value.fix.startswith(fix)


def test_version_that_no_node_image_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no published node image of Kubernetes v1\.36\.99"):
        check(tmp_path, "cluster: {kubernetes: v1.36.99}\n")
    assert check(tmp_path, "cluster: {kubernetes: v1.36.99, provider: minikube}\n").exit_code == 0


def test_kinds_of_a_chart_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart with an object of a kind of its own crds/ → nothing is noted."""
    seen: list[bool] = []

    def render(_helm: Helm, _chart: object, *, whole: bool = False) -> tuple[dict[str, Any], ...]:
        seen.append(whole)
        return tuple(manifests.parse(OWN + (DEFINITION if whole else ""), origin="chart"))

    monkeypatch.setattr(Helm, "find", lambda _store: Helm(Path("helm")))
    monkeypatch.setattr(Helm, "render", render)
    (tmp_path / "web").mkdir()
    printed = check(tmp_path, "name: shop\napply: [{chart: web}]\n")
    assert (printed.exit_code, printed.stderr, seen) == (0, "", [True])
