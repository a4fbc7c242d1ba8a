"""`sandbox init` and `sandbox config`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_main import run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM sandbox.dev/busybox\nEXPOSE 8080\n")
    return folder


def test_files_of_init_are_valid_and_written_once(project: Path) -> None:
    first = run("init", cwd=project)
    assert first.code == 0, first.stderr
    names = [".dockerignore", "Dockerfile", "images.yaml", "k8s", "sandbox.yaml"]
    assert sorted(path.name for path in project.iterdir()) == names
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert run("config", "validate", cwd=project).stdout == (
        "valid: name shop, domain shop.sandbox.localhost, 1 image, 3 objects\n"
    )
    again = run("init", cwd=project)
    assert again.code == 2
    assert "exists already" in again.stderr
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["sandbox.yaml", "images.yaml", "k8s/app.yaml"])
def test_init_replaces_no_link(project: Path, name: str) -> None:
    """Not even one that leads nowhere."""
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("nowhere")
    ended = run("init", cwd=project)
    assert path.is_symlink() and (ended.code == 2 if name == "sandbox.yaml" else f"kept  {name}" in ended.stdout)


@pytest.mark.parametrize("kind", ["file", "link elsewhere", "dangling link"])
def test_init_writes_into_folders_of_the_project_only(project: Path, tmp_path: Path, kind: str) -> None:
    place = project / "k8s"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(tmp_path if kind == "link elsewhere" else "nowhere")
    ended = run("init", cwd=project)
    assert (ended.code, ended.stdout) == (2, "")
    assert "k8s is in the way" in ended.stderr
    assert {path.name for path in project.iterdir()} == {"Dockerfile", "k8s"} and not (tmp_path / "app.yaml").exists()


def test_init_names_what_is_wrong(project: Path) -> None:
    assert run("init", "--name", "No Name", cwd=project).code == run("init", "--name", "", cwd=project).code == 2
    assert run("init", "nowhere", cwd=project).code == 2
    assert not (project / "sandbox.yaml").exists()


def test_show_tells_where_values_are_from(project: Path) -> None:
    (project / "sandbox.yaml").write_text("name: shop\nnetwork:\n  proxy: {http: 'http://me:s3c@ret@proxy:1'}\n")
    lines = run("config", "show", cwd=project).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith(("name", "cluster.provider"))] == [
        ["name", "shop", "sandbox.yaml:1"],
        ["cluster.provider", "kind", "default"],
    ]
    origins = {line.rindex("default") for line in lines if line.endswith("default") and len(line.split()[1]) < 40}
    assert len(origins) == 1  # also behind the longest key
    assert "http://***@proxy:1" in "\n".join(lines) and "ret@" not in "\n".join(lines)
    (project / "sandbox.yaml").write_text("apply: []\n")
    nameless = [line.split() for line in run("config", "show", cwd=project).stdout.splitlines()]
    assert ["name", "shop", "its", "folder"] in nameless
    assert ["name", "other", "command", "line"] in [
        line.split() for line in run("config", "show", "-n", "other", cwd=project.parent).stdout.splitlines()
    ]


def test_init_says_that_hosts_of_a_public_domain_need_help(project: Path) -> None:
    (project / "deploy.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n"
        "spec: {rules: [{host: web.example.com}]}\n"
    )
    said = run("init", cwd=project).stderr
    assert "hosts of example.com: browsers find them here by /etc/hosts only" in said
    assert "`sandbox hosts install -n shop`" in said


def test_init_says_how_a_manifest_names_an_image(project: Path) -> None:
    (project / "app").mkdir()
    (project / "Dockerfile").rename(project / "app" / "Dockerfile")
    (project / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
        "spec: {containers: [{name: a, image: ghcr.io/acme/krautnet:1}, {name: b, image: ghcr.io/acme/other:1}]}\n"
    )
    said = run("init", cwd=project).stderr
    assert "no manifest runs app: add a Deployment with `image: shop/app:dev`, or" in said
    assert "`for: [NAME]` to its line in images.yaml" in said


def test_init_says_whose_port_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: a}, b: {image: b}, c: {image: c, ports: [80]}}\n")
    told = run("init", "--name", "shop", cwd=tmp_path).stderr
    assert "the port of b is unknown: for a host that leads to it, name it below `expose` of its service" in told


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


def test_chart_that_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("name: a\n b: [\n")
    found = run("init", cwd=tmp_path)
    assert found.code == 2 and "Chart.yaml:2: not valid YAML" in found.stderr and "\nfix: " in found.stderr
