"""Kustomizations: what they read, what they would fetch, and what kubectl makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sandbox.bundle.store import Store
from sandbox.components.workloads import user_manifests
from sandbox.config.schema.apply_schema import Kustomization
from sandbox.errors import BadFile, MissingTool

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: base}\n"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A base, and an overlay next to it with a patch and a generated ConfigMap."""
    base, overlay = tmp_path / "base", tmp_path / "overlays" / "dev"
    base.mkdir()
    overlay.mkdir(parents=True)
    (base / "kustomization.yaml").write_text("resources: [map.yaml]\n")
    (base / "map.yaml").write_text(MAP)
    (overlay / "kustomization.yml").write_text(
        "namespace: shop\nresources: [../../base]\npatches: [{path: patch.yaml}]\n"
        "configMapGenerator: [{name: files, files: [greeting=hello.txt], literals: [path=https://example.com/x]}]\n"
        "labels: [{pairs: {a: b}, fields: [{path: spec/x, create: true}]}]\n"
    )
    (overlay / "patch.yaml").write_text(MAP.replace("base", "dev"))
    (overlay / "hello.txt").write_text("hello\n")
    return tmp_path


def store(folder: Path) -> Store:
    return Store(folder / "bundle")


def test_kustomization_reads_bases_and_files_without_fetching(project: Path) -> None:
    reads = user_manifests.reads(project / "overlays" / "dev")
    assert {str(path.resolve().relative_to(project)) for path in reads.local} == {
        "overlays/dev",
        "overlays/dev/kustomization.yml",
        "base",
        "base/kustomization.yaml",
        "base/map.yaml",
    }
    assert reads.fetched == ()


@needs_kubectl
def test_kustomization_is_rendered_by_kubectl(project: Path) -> None:
    objects = user_manifests.load([project / "overlays" / "dev"], store(project))
    settings = next(item for item in objects if item["metadata"]["name"] == "settings")
    assert (settings["metadata"]["namespace"], settings["data"]) == ("shop", {"mode": "dev"})
    assert any(item["metadata"]["name"].startswith("files-") for item in objects)


@pytest.mark.security(17)
@pytest.mark.parametrize(
    "text",
    [
        "resources: ['https://example.com/base.yaml']",
        "resources: ['github.com/owner/project//deploy?ref=main']",
        "components: ['ssh://git@example.com/project']",
    ],
)
def test_remote_bases_are_not_fetched_unless_allowed(tmp_path: Path, text: str) -> None:
    """A kustomization that names a URL or a repository → an error that says which, before anything runs."""
    (tmp_path / "kustomization.yaml").write_text(text + "\n")
    with pytest.raises(BadFile, match="fetches") as caught:
        user_manifests.text(Kustomization(kustomize=tmp_path), store(tmp_path))
    assert f"{{kustomize: {tmp_path}, remote: true}}" in caught.value.fix
    assert user_manifests.reads(tmp_path).fetched


@needs_kubectl
@pytest.mark.security(17)
def test_files_of_urls_are_not_fetched_unless_allowed(project: Path) -> None:
    """A kustomization names a URL in another place → kustomize has no network, and the fix says how to allow it."""
    (project / "base" / "kustomization.yaml").write_text("patches: [{path: 'https://example.com/patch.yaml'}]\n")
    with pytest.raises(BadFile, match="cannot be rendered") as caught:
        user_manifests.text(Kustomization(kustomize=project / "base"), store(project))
    assert "connection refused" in caught.value.details and "remote: true" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: [base]", "'Resources' is not a key"),
        ("resources: [absent.yaml]", "names absent.yaml, which is not there"),
        ("- a\n", "not a mapping of keys"),
        ("resources: [inner]", "inner has no kustomization.yaml"),
    ],
)
def test_unreadable_kustomization_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(text + "\n")
    (tmp_path / "inner").mkdir()
    with pytest.raises(BadFile, match=message):
        user_manifests.reads(tmp_path)


@needs_kubectl
def test_refusal_by_kustomize_is_shown(project: Path) -> None:
    (project / "base" / "map.yaml").write_text(f"{MAP}---\n{MAP}")
    with pytest.raises(BadFile, match="cannot be rendered") as caught:
        user_manifests.load([Kustomization(kustomize=project / "base")], store(project))
    assert "may not add resource with an already registered id" in caught.value.details


def test_missing_kubectl_has_a_fix(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(MissingTool, match="kubectl is not installed"):
        user_manifests.text(Kustomization(kustomize=project / "base"), store(project))
