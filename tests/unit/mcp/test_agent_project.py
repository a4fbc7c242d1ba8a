"""What a server's project may read, and answers to an agent: short, and with hidden values."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.mcp.agent_project import HIDDEN, LONGEST, Project, hide, secret_values, short
from sandbox.plan import saved_spec
from tests.support.api_server import kubeconfig, serving
from tests.support.project_folder import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a spec in a folder of its own, next to a file that is not in it."""
    (tmp_path / "private").write_text("of the user")
    folder = tmp_path / "shop" / "k8s"
    folder.mkdir(parents=True)
    (tmp_path / "shop" / ".git").mkdir()
    (folder / "app").mkdir()
    (folder / "sandbox.yaml").write_text("apply: [app]\n")
    return folder


def project(folder: Path) -> Project:
    return Project(folder / "sandbox.yaml")


def test_project_is_the_repository_of_the_spec_and_never_the_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project(folder).root == folder.parent
    monkeypatch.setenv("HOME", str(folder.parent))
    assert project(folder).root == folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sandbox.yaml", "apply: [../../private]"),
        ("sandbox.yaml", "cluster: {mounts: [{host: /etc, node: /host}]}"),
        ("sandbox.yaml", "cluster: {mounts: [{host: ../.., node: /host}]}"),
        ("sandbox.yaml", "credentials: [{kind: docker, file: ~/.docker/config.json}]"),
        ("sandbox.yaml", "addons: [../../addon]"),
        ("sandbox.yaml", "apply: [overlay]"),
        ("sandbox.yaml", "apply: [{chart: chart}]"),
        ("images.yaml", "images: [{from: build, as: app:1, context: ../..}]"),
        ("images.yaml", "images: [{from: build, as: app:1, context: app, dockerfile: ../../../Dockerfile}]"),
        ("images.yaml", "images: [{from: build, as: app:1, context: app, secrets: ['id=npm,src=../../private']}]"),
        ("images.yaml", "images: [{from: build, as: app:1, context: app, cache_to: ['type=local,dest=/var/cache']}]"),
    ],
)
def test_files_outside_of_the_repository_are_refused(folder: Path, name: str, text: str) -> None:
    """Named by the spec, an overlay, a dependency of a chart's dependency, or an image → refused."""
    files = {
        "sandbox.yaml": "push: images.yaml",
        "overlay/kustomization.yaml": "resources: [../../../base]",
        "chart/Chart.yaml": "{name: chart, dependencies: [{name: web, repository: 'file://../web'}]}",
        "web/Chart.yaml": (
            "{name: web, dependencies: [{name: chart, repository: 'file://../chart'}, "
            "{name: base, repository: 'file://../../../base'}]}"
        ),
        "../../base/kustomization.yaml": "resources: []",
        "../../base/Chart.yaml": "name: base",
    }
    write(folder, {**files, name: text})
    with pytest.raises(UsageError, match="outside of the project"):
        project(folder).require_own_files()


def test_files_of_the_repository_may_be_named_unless_manifests_link_out_of_it(folder: Path) -> None:
    (folder.parent / "shared").mkdir()
    (folder.parent / "python").symlink_to("/usr/bin/python3")
    (folder / "sandbox.yaml").write_text("apply: [app, ../shared]\n")
    project(folder).require_own_files()
    (folder / "app" / "link.yaml").symlink_to(folder.parent.parent / "private")
    with pytest.raises(UsageError, match="outside of the project") as caught:
        project(folder).require_own_files()
    assert "link.yaml" in caught.value.details


def test_sandbox_of_another_project_is_refused(folder: Path) -> None:
    names = context.home().sandbox("other")
    saved_spec.save(names, ResolvedSpec(name="other"))
    saved_spec.record_origin(names, Origin.of(folder.parent.parent / "other" / "sandbox.yaml"))
    (folder / "sandbox.yaml").write_text("name: other\n")
    with pytest.raises(UsageError, match="'other' was brought up from elsewhere"):
        project(folder).cluster()


PASSWORD = "correct-horse-battery"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLW9mLWl0"


def test_long_answer_has_its_beginning_and_its_end() -> None:
    assert short("\x1b[31mready\x1b[0m\x07\n") == "ready"
    answer = short(f"begin {'x' * LONGEST} end")
    assert answer.startswith("begin ") and answer.endswith(" end")
    assert "[10 characters left out: ask for less" in answer and len(answer) < LONGEST + 200


@pytest.mark.parametrize(
    "form", [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), PASSWORD.encode().hex(), "second-line-of-it"]
)
def test_values_of_secrets_are_hidden_in_every_form(tmp_path: Path, form: str) -> None:
    values = {"password": PASSWORD, "lines": "first-line-of-it\nsecond-line-of-it"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "shop"}, "data": data}
    with serving() as server:
        server.objects["/api/v1/namespaces/shop/secrets/login"] = secret
        kubeconfig(tmp_path / "kubeconfig", server.server_port)
        secrets = secret_values(Cluster(tmp_path / "kubeconfig"), None)
    assert hide(f"it is <{form}>", secrets) == f"it is <{HIDDEN}>"


@pytest.mark.parametrize(
    "text",
    [TOKEN, "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMI"],
)
def test_tokens_and_private_keys_are_hidden_wherever_they_come_from(text: str) -> None:
    assert hide(f"<{text}", frozenset()) == f"<{HIDDEN}"
