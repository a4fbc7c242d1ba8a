"""`sandbox init` and `sandbox config`, as a user meets them."""

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
from tests.support.project_folder import write
from tests.unit.cli.test_main import run

INGRESS = (
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: web.example.com}]}\n"
)
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
SERVICES = "services: {a: {image: a}, b: {image: b}, c: {image: c, ports: [80]}}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "shop", {"Dockerfile": "FROM sandbox.dev/busybox\nEXPOSE 8080\n"})


def test_files_of_init_are_valid_and_written_once(project: Path) -> None:
    first = run("init", cwd=project)
    assert first.code == 0, first.stderr
    names = [".dockerignore", "Dockerfile", "images.yaml", "k8s", "sandbox.yaml"]
    assert sorted(path.name for path in project.iterdir()) == names
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    valid = "valid: name shop, domain shop.sandbox.localhost, 1 image, 3 objects\n"
    assert run("config", "validate", cwd=project).stdout == valid
    again = run("init", cwd=project)
    assert again.code == 2 and "exists already" in again.stderr
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["sandbox.yaml", "images.yaml", "k8s/app.yaml", "k8s"])
def test_init_replaces_no_link(project: Path, name: str) -> None:
    """Not even one that leads nowhere."""
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("nowhere")
    ended = run("init", cwd=project)
    assert path.is_symlink()
    if name == "k8s":
        assert (ended.code, ended.stdout) == (2, "") and "k8s is in the way" in ended.stderr
        assert {path.name for path in project.iterdir()} == {"Dockerfile", "k8s"}
    else:
        assert ended.code == 2 if name == "sandbox.yaml" else f"kept  {name}" in ended.stdout


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("deploy.yaml", INGRESS, "hosts of example.com: browsers find them here by /etc/hosts only"),
        (
            "pod.yaml",
            POD % "ghcr.io/acme/other:1",
            "no manifest runs app: add a Deployment with `image: shop/app:dev`, or",
        ),
        ("compose.yaml", SERVICES, "the port of b is unknown: for a host that leads to it, name it below `expose` of"),
    ],
)
def test_init_notes_what_is_left_to_do(tmp_path: Path, name: str, text: str, note: str) -> None:
    folder = write(tmp_path / "shop", {"app/Dockerfile": "FROM scratch\n", name: text})
    assert note in run("init", cwd=folder).stderr


def test_init_names_what_is_wrong(project: Path) -> None:
    for words in (("--name", "No Name"), ("--name", ""), ("nowhere",)):
        assert run("init", *words, cwd=project).code == 2
    (project / "Chart.yaml").write_text("name: a\n b: [\n")
    found = run("init", cwd=project)
    assert found.code == 2 and "Chart.yaml:2: not valid YAML" in found.stderr and "\nfix: " in found.stderr
    assert not (project / "sandbox.yaml").exists()


def test_show_tells_where_values_are_from(project: Path) -> None:
    (project / "sandbox.yaml").write_text("name: shop\nnetwork:\n  proxy: {http: 'http://me:s3c@ret@proxy:1'}\n")
    shown = run("config", "show", cwd=project).stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["name", "shop", "sandbox.yaml:1"] in rows and ["cluster.provider", "kind", "default"] in rows
    assert "http://***@proxy:1" in shown and "ret@" not in shown
    (project / "sandbox.yaml").write_text("apply: []\n")
    for words, origin in (((), "name shop its folder"), (("-n", "other"), "name other command line")):
        lines = run("config", "show", *words, cwd=project).stdout.splitlines()
        assert origin in [" ".join(line.split()) for line in lines]


@pytest.mark.security(12)
def test_init_keeps_names_of_a_project_within_their_line(tmp_path: Path) -> None:
    """A compose file with line breaks in names → no line of what `init` prints is the project's own."""
    service = {"image": "a\nnext  curl evil.example", "environment": {"b\nnext  rm": "c"}}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"a": service}}))
    told = run("init", "--name", "shop", cwd=tmp_path).stderr
    assert "next  rm" in told
    assert not [line for line in told.splitlines() if line.startswith("next  ")]


def test_init_names_the_first_of_many_settings_that_a_program_lacks(tmp_path: Path) -> None:
    """zammad's services have a hundred variables without a value; the manifest names them all."""
    names = ", ".join(f"A{number:02}" for number in range(20))
    app = f"{{image: x, environment: [{names}], init: true}}"
    (tmp_path / "compose.yaml").write_text(f"services: {{a: {app}, b: {app}, c: {{image: nginx, pid: host}}}}\n")
    lines = [line for line in run("init", cwd=tmp_path).stderr.splitlines() if "not in k8s/" in line]
    assert lines[0].startswith("note  a: not in k8s/: init, environment.A00, environment.A01, ")
    assert lines[0].endswith(", environment.A10 and 9 more") and lines[2:] == ["note  c: not in k8s/: pid"]
    assert "environment.A19" in (tmp_path / "k8s/a.yaml").read_text()


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
    """A chart defines a kind in crds/ and has an object of it → `config validate` notes nothing."""
    seen: list[bool] = []

    def render(_helm: Helm, _chart: object, *, whole: bool = False) -> tuple[dict[str, Any], ...]:
        seen.append(whole)
        return tuple(manifests.parse(OWN + (DEFINITION if whole else ""), origin="chart"))

    monkeypatch.setattr(Helm, "find", lambda _store: Helm(Path("helm")))
    monkeypatch.setattr(Helm, "render", render)
    (tmp_path / "web").mkdir()
    printed = check(tmp_path, "name: shop\napply: [{chart: web}]\n")
    assert (printed.exit_code, printed.stderr, seen) == (0, "", [True])
