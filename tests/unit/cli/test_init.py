"""`sandbox init` and `sandbox config`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project_folder import write
from tests.unit.cli.test_main import run

INGRESS = (
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: web.example.com}]}\n"
)
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'ghcr.io/acme/other:1'}]}\n"
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
        ("pod.yaml", POD, "no manifest runs app: add a Deployment with `image: shop/app:dev`, or"),
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
