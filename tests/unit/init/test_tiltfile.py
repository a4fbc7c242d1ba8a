"""The literal calls of a Tiltfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.init import tiltfile
from sandbox.init.detected import App, ToolFile
from tests.support.project_folder import DEPLOYMENT, look, write

FILES = {
    "api/Dockerfile": "FROM x\nEXPOSE 80\n",
    "k8s/api.yaml": DEPLOYMENT,
    "overlay/kustomization.yaml": "resources: [../k8s/api.yaml]\n",
    "chart/Chart.yaml": "name: chart\n",
    "chart/dev.yaml": "a: 1\n",
}


def read(folder: Path, text: str) -> ToolFile:
    result = tiltfile.load(write(folder, {**FILES, "Tiltfile": text}))
    assert result is not None
    return result


def test_literal_calls_are_read(tmp_path: Path) -> None:
    text = """\
'''Develops the shop.'''
docker_build('acme/api:dev', './api', build_args={'A': '1'}, target='dev', live_update=[sync('api', '/app')])
k8s_yaml(['k8s/api.yaml', helm('chart', name='web', namespace='shop', values=['chart/dev.yaml'], set=['a.b=c=d'])])
k8s_yaml(kustomize('overlay'))
"""
    result = read(tmp_path, text)
    build = {"target": "dev", "args": {"A": "1"}}
    assert result.apps == (App("api", context="api", names=("acme/api",), build=build),)
    chart = {"chart": "chart", "release": "web", "namespace": "shop", "values": ["chart/dev.yaml"]}
    assert result.items == ("k8s/api.yaml", {**chart, "set": {"a.b": "c=d"}}, "overlay/")
    assert result.notes == ()


@pytest.mark.parametrize(
    "line",
    [
        "docker_build(name, 'api')",
        "docker_build('api')",
        "docker_build('api', 'api', dockerfile='Dockerfile')",
        "docker_build('api', '../api')",
        "docker_build('api', 'api', entrypoint=['a'])",
        "for name in ('a', 'b'): docker_build(name, name)",
        "local_resource('tests', 'make test')",
    ],
)
def test_other_lines_are_named_and_not_read(tmp_path: Path, line: str) -> None:
    result = read(tmp_path, f"k8s_yaml('k8s/api.yaml')\n{line}\n")
    assert (result.apps, result.items) == ((), ("k8s/api.yaml",))
    assert result.notes == (f"Tiltfile: not read: line 2: {tiltfile.ADVICE}",)


@pytest.mark.parametrize(
    "line",
    [
        "k8s_yaml(listdir('k8s'))",
        "k8s_yaml('none.yaml')",
        "k8s_yaml(helm('k8s'))",
        "k8s_yaml('/etc/passwd')",
        "k8s_yaml(kustomize('k8s'))",
        "k8s_yaml(helm('chart', values=[name]))",
        "if True: k8s_yaml('k8s/api.yaml')",
    ],
)
def test_nothing_is_applied_if_a_part_is_computed(tmp_path: Path, line: str) -> None:
    result = read(tmp_path, f"docker_build('api', 'api')\nk8s_yaml('k8s/api.yaml')\n{line}\n")
    assert [app.name for app in result.apps] == ["api"] and result.items == ()
    assert look(tmp_path).items == ("overlay/",)  # which are looked for as without it


@pytest.mark.parametrize("text", ["if (:\n", "(" * 5000, "\0"])
def test_file_that_is_not_python_is_named(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == ToolFile(notes=(f"Tiltfile was not read: {tiltfile.ADVICE}",))


def test_compose_file_says_what_is_built(tmp_path: Path) -> None:
    assert read(tmp_path, "docker_compose('./compose.yaml')\ndocker_build('api', 'api')\n") == ToolFile()
