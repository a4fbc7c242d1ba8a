"""What `init` reads of a skaffold.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.init import skaffold
from sandbox.init.detected import App, ToolFile
from tests.support.project_folder import DEPLOYMENT, write

FILES = {"k8s/api.yaml": DEPLOYMENT, "k8s/web.yaml": DEPLOYMENT, "chart/Chart.yaml": "name: x\n"}


def read(folder: Path, *configs: dict[str, Any], profiles: tuple[str, ...] = ()) -> ToolFile:
    documents = [{"apiVersion": "skaffold/v4beta11", "kind": "Config", **config} for config in configs]
    result = skaffold.load(write(folder, {**FILES, "skaffold.yaml": yaml.safe_dump_all(documents)}), profiles)
    assert result is not None
    return result


def test_artifacts_of_dockerfiles_are_built(tmp_path: Path) -> None:
    docker = {"dockerfile": "Dev", "target": "dev", "buildArgs": {"A": "1", "B": "{{.X}}"}, "network": "host"}
    artifacts = [
        {"image": "gcr.io/acme/My_API", "context": "src/api/", "docker": docker, "sync": {"infer": ["*"]}},
        {"image": "jib", "jib": {}},
        {"image": "out", "context": "../out"},
        {"context": "no image"},
    ]
    result = read(tmp_path, {"build": {"artifacts": artifacts}}, {"build": {"artifacts": [{"image": "web"}]}})
    build = {"dockerfile": "Dev", "target": "dev", "args": {"A": "1"}}
    assert result.apps == (
        App("my-api", context="src/api", names=("gcr.io/acme/My_API",), build=build),
        App("web", context=".", names=("web",)),
    )
    assert result.notes == (
        "of the build of gcr.io/acme/My_API these are left out: network, sync, buildArgs.B",
        "the image jib is built by jib: push it with `from: daemon`",
        "the image out is left out: ../out is not in this folder",
    )


@pytest.mark.parametrize(
    ("pattern", "items"),
    [
        ("k8s/api.yaml", ("k8s/api.yaml",)),
        ("k*", ("k8s/api.yaml", "k8s/web.yaml")),
        ("../k8s/*.yaml", ()),
        ("https://example.com/a.yaml", ()),
        ("none/*.yaml", ()),
    ],
)
def test_manifests_are_applied(tmp_path: Path, pattern: str, items: tuple[str, ...]) -> None:
    write(tmp_path, {"overlay/kustomization.yaml": ""})
    result = read(tmp_path, {"manifests": {"rawYaml": [pattern], "kustomize": {"paths": ["./overlay", "none"]}}})
    assert result.items == (*items, "overlay/")
    assert result.notes[-1] == "none is left out: it is no kustomization in this folder"
    assert (len(result.notes) > 1) is not bool(items)


def release(folder: Path, **settings: Any) -> ToolFile:
    artifacts = [{"image": "acme/web"}, {"image": "acme/api"}]
    releases = [{"name": "Web", "chartPath": "chart", **settings}]
    return read(folder, {"build": {"artifacts": artifacts}, "deploy": {"helm": {"releases": releases}}})


@pytest.mark.parametrize(
    ("settings", "item"),
    [
        ({"namespace": "shop", "valuesFiles": ["./a.yaml"]}, {"namespace": "shop", "values": ["a.yaml"]}),
        ({"setValues": {"a.b": 1, "c": {"d": [True]}}}, {"set": {"a.b": 1, "c.d[0]": True}}),
        ({"overrides": {"a.b": {"c": "d"}}}, {"set": {"a\\.b.c": "d"}}),
        (
            {"setValueTemplates": {"image": "{{.IMAGE_REPO_acme_web}}:{{.IMAGE_TAG_acme_web}}@{{.IMAGE_DIGEST}}"}},
            {"set": {"image": "acme/web:dev"}},
        ),
    ],
)
def test_release_of_a_chart_is_applied(tmp_path: Path, settings: dict[str, Any], item: dict[str, Any]) -> None:
    result = release(tmp_path, **settings)
    assert result.items == ({"chart": "chart", "release": "web", **item},)
    assert result.notes == ()


def test_parts_of_a_release_without_counterpart_are_named(tmp_path: Path) -> None:
    result = release(tmp_path, chartPath=None, remoteChart="redis", repo="https://charts.example.com")
    assert result.items == ()
    assert result.notes == ("the release Web is left out: its chart is not in this folder",)
    result = release(tmp_path, setFiles={"a": "b"}, setValueTemplates={"a": "{{.ENV}}"})
    assert result.notes == ("of the release Web these are left out: setFiles, setValueTemplates.a",)


def test_profile_counts_if_it_is_named(tmp_path: Path) -> None:
    profile = {"name": "dev", "manifests": {"rawYaml": ["k8s/web.yaml"]}, "patches": [{"op": "add", "path": "/a"}]}
    config = {"manifests": {"rawYaml": ["k8s/api.yaml"]}, "profiles": [profile]}
    result = read(tmp_path, config)
    assert result.items == ("k8s/api.yaml",) and result.profiles == {"dev"}
    assert result.notes == ("skaffold.yaml: the profiles dev are left out: --profile NAME takes one",)
    result = read(tmp_path, config, profiles=("dev",))
    assert result.items == ("k8s/web.yaml",)
    assert result.notes == ("skaffold.yaml: `patches` of the profile dev not read: write its keys out",)


def test_unread_keys_are_named_in_one_line(tmp_path: Path) -> None:
    config = {"requires": [{"path": "api"}], "test": [{}], "deploy": {"kubectl": {"hooks": {"before": []}}}}
    assert read(tmp_path, config).notes == (
        "skaffold.yaml: requires, test, deploy.kubectl.hooks not read: "
        "write it into sandbox.yaml and images.yaml yourself",
    )


def test_old_version_is_named_and_not_read(tmp_path: Path) -> None:
    note = "skaffold.yaml is not read: `skaffold fix --overwrite` makes it newer than skaffold/v2beta29"
    config = {"apiVersion": "skaffold/v2beta29", "build": {"artifacts": [{"image": "web"}]}}
    assert read(tmp_path, config) == ToolFile(notes=(note,))


@pytest.mark.parametrize("text", ["a: [", "apiVersion: v1\n", "[]", "- a\n", "apiVersion: [skaffold]"])
def test_other_file_is_not_read(tmp_path: Path, text: str) -> None:
    assert skaffold.load(write(tmp_path, {"skaffold.yaml": text})) is None
