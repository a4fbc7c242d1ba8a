"""`sandbox config validate`: what cannot be used is an error, what may not work is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sandbox.cli.config import validate
from sandbox.components.workloads.helm import Helm
from sandbox.errors import BadFile, UsageError
from sandbox.kube import manifests

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: '%s'}]}\n---\n"
OWN = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n---\n"
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, names: {kind: Widget}}
---
"""

CLAIMS = """\
{kind: PersistentVolume, apiVersion: v1, metadata: {name: v}, spec: {storageClassName: manual}}
---
{kind: PersistentVolumeClaim, apiVersion: v1, metadata: {name: m}, spec: {storageClassName: manual}}
---
{kind: PersistentVolumeClaim, apiVersion: v1, metadata: {name: s}, spec: {storageClassName: standard}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  volumeClaimTemplates: [{spec: {storageClassName: gp3}}, {spec: {storageClassName: gp3}}, {spec: {}}]
"""


@pytest.mark.parametrize(
    ("objects", "notes"),
    [
        (POD % "nginx:1.27" + OWN + DEFINITION, []),
        (POD % "localhost:5001/team/app:dev", []),
        ("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: true\n", []),
        (
            POD % "localhost:5001/team/api:dev",
            [
                "Pod p: nothing provides the image localhost:5001/team/api:dev; add to images.yaml: "
                "- {from: build, context: ./api, as: team/api:dev}"
            ],
        ),
        (POD % "sandbox.dev/app:dev", []),
        (
            POD % "sandbox.dev/valkey",
            [
                "Pod p: no registry has the image sandbox.dev/valkey; add to images.yaml: "
                "- {from: daemon, image: sandbox.dev/valkey, as: valkey}"
            ],
        ),
        (
            POD % "sandbox.dev/valky:1" + (POD % "sandbox.dev/other").replace(" p}", " o}"),
            [
                "Pod o: no registry has the image sandbox.dev/other; nor has the bundle",
                "Pod p: no registry has the image sandbox.dev/valky:1; did you mean sandbox.dev/valkey?",
            ],
        ),
        (POD % "nginx" + POD % "nginx", ["Pod p is given twice; the last one counts"]),
        (CLAIMS, ["StatefulSet db: there is no StorageClass gp3: leave storageClassName out, or add it to `apply`"]),
        (OWN, ["Widget w: the kind Widget (example.com/v1) must come from elsewhere, for example an addon"]),
    ],
)
def test_doubtful_settings_are_noted(tmp_path: Path, objects: str, notes: list[str]) -> None:
    (tmp_path / "sandbox.yaml").write_text("name: shop\npush: images.yaml\napply: [k8s.yaml]\n")
    (tmp_path / "images.yaml").write_text("images: [{from: build, context: ., as: 'team/app:dev'}]\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "k8s.yaml").write_text(objects)
    printed = CliRunner().invoke(validate, ["-f", str(tmp_path / "sandbox.yaml")], catch_exceptions=False)
    assert printed.exit_code == 0 and printed.stdout.startswith("valid: name shop, ")
    found = [line.removeprefix("note   ") for line in printed.stderr.splitlines()]
    assert [line.partition("   (or")[0] for line in found] == notes


@pytest.mark.parametrize(
    ("version", "kind", "line"),
    [
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "ingress: {gateway_api: true}"),
        ("cert-manager.io/v1", "Certificate", "certs: {issuer: cert-manager}"),
    ],
)
def test_kind_that_the_sandbox_can_bring_comes_with_its_line(
    tmp_path: Path, version: str, kind: str, line: str
) -> None:
    (tmp_path / "k8s.yaml").write_text(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    file = tmp_path / "sandbox.yaml"
    told = f"note   {kind} a: the kind {kind} ({version}) comes with `{line}` in sandbox.yaml\n"
    for chosen, notes in ((line, ""), ("", told)):
        file.write_text(f"name: shop\napply: [k8s.yaml]\n{chosen}\n")
        assert CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False).stderr == notes


def test_result_for_programs_has_the_notes(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\naddons: [grafana]\napply: [k8s.yaml]\n")
    (tmp_path / "k8s.yaml").write_text(POD % "nginx" + POD % "nginx")
    printed = CliRunner().invoke(validate, ["-f", str(file), "-o", "json"], catch_exceptions=False)
    found = json.loads(printed.stdout)
    notes = found.pop("notes")
    assert found == {"name": "shop", "domain": "shop.sandbox.localhost", "addons": 1, "images": 0, "objects": 2}
    assert printed.stderr == "" and notes == ["Pod p is given twice; the last one counts"]


def test_chart_that_is_not_pulled_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is used; what cannot be looked at is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\napply: [{chart: 'oci://registry.example/web', version: 1.2.3}]\n")
    printed = CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False)
    assert printed.exit_code == 0
    assert printed.stderr == "note   not pulled yet, and not looked at: oci://registry.example/web 1.2.3\n"


def test_addons_are_counted_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\naddons: [grafana]\n")
    assert "1 addon" in CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False).stdout
    file.write_text("name: shop\naddons: [grafna]\n")
    with pytest.raises(UsageError, match="there is no addon 'grafna'"):
        CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False)


def test_files_of_images_that_are_absent_are_noted(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "sandbox.yaml").write_text("name: shop\npush: images.yaml\n")
    (tmp_path / "images.yaml").write_text(
        "images:\n- {from: build, context: ./web, as: a}\n- {from: build, context: ./api, as: b}\n"
        "- {from: archive, path: c.tar, as: c}\n- {from: layout, path: web, as: d}\n"
    )
    printed = CliRunner().invoke(validate, ["-f", str(tmp_path / "sandbox.yaml")], catch_exceptions=False)
    assert printed.exit_code == 0
    assert printed.stderr.splitlines() == [
        f"note   a:latest: there is no {tmp_path}/web/Dockerfile",
        f"note   b:latest: there is no folder {tmp_path}/api, its context",
        f"note   c:latest: there is no {tmp_path}/c.tar",
    ]


def test_files_of_accounts_and_cas_that_are_absent_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    credentials = "credentials: [{kind: gcr, file: key.json}, {kind: docker, file: sandbox.yaml}]\n"
    default = "certs: {default: {cert: sandbox.yaml, key: own.key}}\n"
    file.write_text(f"name: shop\nnetwork: {{ca: company.pem}}\n{default}{credentials}")
    printed = CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False)
    assert printed.stderr.splitlines() == [
        f"note   credentials, gcr-secret: there is no {tmp_path}/key.json",
        f"note   certs.default: there is no {tmp_path}/own.key",
        f"note   network.ca: there is no {tmp_path}/company.pem",
    ]


def test_version_that_no_node_image_has_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("cluster: {kubernetes: v1.36.99}\n")
    with pytest.raises(UsageError, match=r"no published node image of Kubernetes v1\.36\.99"):
        CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False)
    file.write_text("cluster: {kubernetes: v1.36.99, provider: minikube}\n")
    assert CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False).exit_code == 0


def test_kinds_of_a_chart_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart with an object of a kind of its own crds/ → nothing is noted."""
    seen: list[bool] = []

    def render(_helm: Helm, _chart: object, *, whole: bool = False) -> tuple[dict[str, Any], ...]:
        seen.append(whole)
        return tuple(manifests.parse(OWN + (DEFINITION if whole else ""), origin="chart"))

    monkeypatch.setattr(Helm, "find", lambda _store: Helm(Path("helm")))
    monkeypatch.setattr(Helm, "render", render)
    (tmp_path / "web").mkdir()
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\napply: [{chart: web}]\n")
    printed = CliRunner().invoke(validate, ["-f", str(file)], catch_exceptions=False)
    assert (printed.exit_code, printed.stderr, seen) == (0, "", [True])


def test_api_version_that_no_cluster_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text("name: shop\napply: [k8s.yaml]\n")
    (tmp_path / "k8s.yaml").write_text("apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web}\n")
    ran = CliRunner().invoke(validate, ["-f", str(tmp_path / "sandbox.yaml")])
    assert isinstance(ran.exception, BadFile) and "no cluster has the kind Ingress" in str(ran.exception)


def test_default_spec_is_told_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no sandbox.yaml here" in CliRunner().invoke(validate, []).stderr
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    assert CliRunner().invoke(validate, []).stderr == ""
