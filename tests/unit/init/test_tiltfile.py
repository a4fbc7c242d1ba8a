"""What a Tiltfile builds, copies and applies is taken, as far as its text says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.images.sync_rules import SyncRule
from sandbox.init import tiltfile
from sandbox.init.detected import App, Told
from tests.support.project_folder import DEPLOYMENT, look, write

# In the manner of the examples at docs.tilt.dev.
TILTFILE = """\
load('ext://restart_process', 'docker_build_with_restart')
version_settings(constraint='>=0.22')
cfg = read_json('tilt.json', {})
for name in ['api', 'web']:
    docker_build('shop/' + name, './' + name, build_args={'node': cfg.get('node'), 'user': os.environ['USER']})
    k8s_yaml('deploy/{}.yaml'.format(name))
docker_build_with_restart('jobs', '.', entrypoint=['/jobs'], dockerfile='jobs/dev.dockerfile', only=['jobs'],
                          live_update=[sync('jobs/src', '/app/src')])
k8s_resource('web', port_forwards='8000:80')
k8s_resource('api', port_forwards=[8001])
k8s_resource('jobs', resource_deps=['api'])
local_resource('compile', 'make', deps=['src'])
custom_build('native', 'make image', deps=['src'])
"""


def tilt(folder: Path, text: str, **files: str) -> Told:
    found = tiltfile.load(write(folder, Tiltfile=text, **files).parent)
    assert found is not None
    return found


def test_builds_and_manifests_of_a_tiltfile_are_taken(tmp_path: Path) -> None:
    found = tilt(
        tmp_path,
        TILTFILE,
        **{"tilt.json": '{"node": "22"}', "deploy/api.yaml": DEPLOYMENT, "deploy/web.yaml": DEPLOYMENT},
        **{"jobs/src/a.go": "", "jobs/dev.dockerfile": "FROM scratch"},
    )
    assert [(one.name, one.context, one.names) for one in found.apps] == [
        ("api", "api", ("shop/api",)),
        ("web", "web", ("shop/web",)),
        ("jobs", ".", ("jobs",)),
    ]
    assert found.apps[0].build == {"args": {"node": "22"}}
    assert found.apps[2].build == {
        "dockerfile": "jobs/dev.dockerfile",
        "sync": [{"paths": {"jobs/src": "/app/src"}, "restart": True}],
    }
    assert found.items == ("deploy/api.yaml", "deploy/web.yaml")
    assert found.forwarded == {"web": 80, "api": None}
    assert found.notes == (
        "Tiltfile:5: the build argument user of shop/api is left out: only Tilt knows it",
        "Tiltfile:5: the build argument user of shop/web is left out: only Tilt knows it",
        "Tiltfile:7: of the build of jobs these are left out: entrypoint, only",
        "Tiltfile: the port-forwards of web, api are left out: the edge routes to Services",
        "Tiltfile: what runs on this machine is left out: compile",
        "Tiltfile: no Dockerfile builds native: push them with `from: daemon`",
    )


@pytest.mark.parametrize(
    ("steps", "rules"),
    [
        ("sync('./web', '/app')", [{"paths": {".": "/app"}}]),
        ("sync('web/src', '/app/src/'), run('make')", [{"paths": {"src": "/app/src"}, "run": ["sh", "-c", "make"]}]),
        (
            "sync('web', '/app'), run('npm i', trigger=['web/package.json', 'web/npm.lock'])",
            [
                {
                    "paths": {"package.json": "/app/package.json", "npm.lock": "/app/npm.lock"},
                    "run": ["sh", "-c", "npm i"],
                },
                {"paths": {".": "/app"}},
            ],
        ),
        ("sync('web/src', '/app'), restart_container()", [{"paths": {"src": "/app"}, "restart": True}]),
        ("run('make')", []),
        ("sync('api', '/app')", []),
        ("sync('web/absent', '/app')", []),
        ("sync('web', 'app')", []),
        ("sync('web', '/')", []),
        ("sync('web', '/app'), run('make'), restart_container()", []),
        ("STEPS", []),
    ],
)
def test_live_update_becomes_sync_rules(tmp_path: Path, steps: str, rules: list[dict[str, Any]]) -> None:
    text = f"docker_build('web', 'web', live_update=[{steps}])"
    found = tilt(tmp_path, text, **{"web/src/a.js": "", "web/package.json": "", "api/a.py": ""})
    assert found.apps[0].build == ({"sync": rules} if rules else {})
    assert bool(found.notes) is not bool(rules)
    for rule in rules:
        SyncRule.model_validate(rule)


def test_live_update_names_what_has_no_counterpart(tmp_path: Path) -> None:
    steps = (
        "fall_back_on('a'), sync('../x', '/x'), sync('src', '/src'), run('make', trigger='Makefile'), run(local('x'))"
    )
    found = tilt(tmp_path, f"docker_build('web', '.', live_update=[{steps}])", **{"src/a.js": "", "Makefile": ""})
    assert found.notes == (
        "Tiltfile:1: of the live_update of web is left out: fall_back_on: a change of these is copied, too; "
        "sync of ../x; the command `make` for files that are not copied; a command",
    )


CHARTS = """\
helm_repo('bitnami', 'https://charts.example.com')
k8s_yaml(helm('chart', name='shop', namespace='dev', values=['dev.yaml'], set=['a.b=1']))
helm_resource('redis', 'bitnami/redis', flags=['--version=1.2.3', '--set', 'x=y', '--values=dev.yaml'])
load('ext://helm_remote', 'helm_remote')
helm_remote('nats', repo_url='https://nats.example.com', version='4.5.6', namespace='dev')
helm_resource('latest', 'bitnami/latest')
k8s_yaml([kustomize('overlays/dev'), listdir('k8s'), read_file('a.yaml'), 'a.yaml', 'absent.yaml', helm('k8s')])
"""


def test_charts_and_folders_of_a_tiltfile_are_taken(tmp_path: Path) -> None:
    files = ("chart/Chart.yaml", "dev.yaml", "overlays/dev/kustomization.yaml", "k8s/a.yaml", "a.yaml")
    found = tilt(tmp_path, CHARTS, **dict.fromkeys(files, ""))
    remote = "https://charts.example.com"
    assert found.items == (
        {"chart": "chart", "release": "shop", "namespace": "dev", "values": ["dev.yaml"], "set": {"a.b": "1"}},
        {
            **{"chart": "redis", "repo": remote, "version": "1.2.3", "release": "redis"},
            **{"values": ["dev.yaml"], "set": {"x": "y"}},
        },
        {
            **{"chart": "nats", "repo": "https://nats.example.com", "version": "4.5.6"},
            **{"release": "nats", "namespace": "dev"},
        },
        "overlays/dev/",
        "k8s/",
        "a.yaml",
    )
    assert found.notes == (
        "Tiltfile:6: the release latest is left out: its chart has no folder, or not one version and place",
        "Tiltfile:7: absent.yaml is left out: it is no manifest in this folder",
        "Tiltfile:7: k8s is left out: it is no folder of that kind here",
    )


def test_tiltfile_that_does_not_say_what_is_applied_is_a_hint(tmp_path: Path) -> None:
    """Its builds count, and manifests are looked for as without it."""
    text = "docker_build('shop/web', 'web')\nk8s_yaml('a.yaml')\nk8s_yaml(local('./render.sh'))\n"
    write(tmp_path, **{"Tiltfile": text, "a.yaml": DEPLOYMENT, "web/Dockerfile": "FROM scratch"})
    found = look(tmp_path)
    assert [one.names for one in found.apps] == [("shop/web",)]
    assert found.manifests == ("a.yaml",)
    assert "Tiltfile does not say by itself what is applied (Tiltfile:3): that was looked for" in found.notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("docker_build(registry + '/web', 'web')", "1: an image is left out: its name, folder or Dockerfile is known"),
        ("docker_build('web', '../web')", "1: an image is left out: its name, folder or Dockerfile is known"),
        (
            "docker_build('web', 'web', dockerfile_contents=local('x'))",
            "1: an image is left out: its name, folder or Dock",
        ),
        ("docker_build('web', 'web', dockerfile='Dockerfile')", "1: the image web is left out: its Dockerfile is no"),
        ("include('../Tiltfile')", "1: what is included is left out: it is not in this folder"),
        ("if config.parse():\n  k8s_yaml('a.yaml')", "1: only Tilt knows what this `if` does: k8s_yaml left out"),
        ("k8s_yaml(", " cannot be read without Tilt: "),
    ],
)
def test_line_that_only_tilt_knows_is_named(tmp_path: Path, text: str, note: str) -> None:
    found = tilt(tmp_path, text)
    assert (found.apps, found.items) == ((), ())
    assert found.notes[0].removeprefix("Tiltfile").startswith((f":{note}", note))


def test_included_tiltfile_has_paths_of_its_own(tmp_path: Path) -> None:
    inner = "k8s_yaml('k8s.yaml')\ndocker_build('api', '.')\ninclude('../Tiltfile')\n"
    found = tilt(tmp_path, "include('./api/Tiltfile')\n", **{"api/Tiltfile": inner, "api/k8s.yaml": DEPLOYMENT})
    assert found.items == ("api/k8s.yaml",)
    assert [one.context for one in found.apps] == ["api"]


def test_tiltfile_of_a_compose_project_leaves_its_builds_to_that(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{"Tiltfile": "docker_compose('compose.yaml')\ndocker_build('web', '.', live_update=[])\n"},
        **{"compose.yaml": "services: {db: {image: postgres}}"},
    )
    assert [one.name for one in look(tmp_path).apps] == ["db"]


def test_skaffold_file_counts_before_a_tiltfile(tmp_path: Path) -> None:
    text = "apiVersion: skaffold/v4beta6\nmanifests: {rawYaml: [a.yaml]}\n"
    write(tmp_path, **{"Tiltfile": "k8s_yaml('b.yaml')", "skaffold.yaml": text})
    write(tmp_path, **{"a.yaml": DEPLOYMENT, "b.yaml": DEPLOYMENT})
    assert look(tmp_path).manifests == ("a.yaml",)


def test_functions_of_a_loaded_tiltfile_are_followed(tmp_path: Path) -> None:
    """Paths are those of the file that calls; what a function of a module calls itself is known, too."""
    module = """\
ports = {'web': 80}
def _manifest(name):
    k8s_yaml('k8s/' + name + '.yaml')
def service(name, port):
    docker_build('acme/' + name, name, dockerfile_contents='FROM x\\nEXPOSE %d' % port, only=['src'])
    _manifest(name)
"""
    text = "load('ext://x', 'y')\nload('./lib/Tiltfile', 'ports', add='service')\nadd('web', ports['web'])\n"
    found = tilt(tmp_path, text, **{"lib/Tiltfile": module, "k8s/web.yaml": DEPLOYMENT, "web/a": ""})
    build = {"dockerfile": "sandbox-web.Dockerfile"}
    assert found.apps == (App("web", "web", names=("acme/web",), build=build, recipe="FROM x\nEXPOSE 80"),)
    assert found.items == ("k8s/web.yaml",)
    assert found.notes == ("Tiltfile:3: of the build of acme/web these are left out: only",)


def test_tiltfiles_that_load_each_other_end_with_a_note(tmp_path: Path) -> None:
    found = tilt(tmp_path, "load('a/Tiltfile', 'x')\n", **{"a/Tiltfile": "load('a/Tiltfile', 'x')\n"})
    assert found.notes[0] == "Tiltfile cannot be read without Tilt: it takes too long"


def test_namespace_that_tilt_adds_is_named(tmp_path: Path) -> None:
    text = "k8s_yaml(namespace_inject(read_file('a.yaml'), 'shop'))"
    found = tilt(tmp_path, text, **{"a.yaml": DEPLOYMENT})
    note = "Tiltfile:1: the namespace is left out: what is applied names its own, or is in `default`"
    assert (found.items, found.notes) == (("a.yaml",), (note,))
