"""What a skaffold file builds, copies and deploys is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import UsageError
from sandbox.images.sync_rules import SyncRule
from sandbox.init import project_files
from sandbox.init.detected import App
from tests.support.project_folder import DEPLOYMENT, look, notes, write

CHART = {"charts/web/Chart.yaml": "name: x", "charts/web/templates/a.yaml": "{{ x }}"}


SKAFFOLD = """\
apiVersion: skaffold/v4beta6
kind: Config
metadata: {name: x}
build:
  artifacts:
  - {image: gcr.io/x/front, context: src/front}
  - {image: other, context: src/other, docker: {dockerfile: Other, buildArgs: {A: '1', B: '{{.B}}'}}}
  - {image: java, jib: {}}
profiles: [{name: gcb}]
MANIFESTS
---
apiVersion: skaffold/v4beta6
kind: Config
build: {artifacts: [{image: back, context: src/back, docker: {target: dev}}]}
"""


RELEASE = {"chart": "charts/web", "release": "a"}


@pytest.mark.parametrize(
    ("manifests", "items"),
    [
        ("manifests: {rawYaml: [k8s/*.yaml]}", ("k8s/",)),
        ("manifests: {rawYaml: ['k8s/**.yaml']}", ("k8s/",)),
        ("manifests: {rawYaml: ['k8s/a**', 'k**/b.yaml']}", ("k8s/a.yaml", "k8s/b.yaml")),
        ("manifests: {rawYaml: [k8s/a.yaml, k8s/a.yaml]}", ("k8s/a.yaml",)),
        ("deploy: {kubectl: {manifests: ['./k8s/**/*.yaml']}}", ("k8s/",)),
        ("manifests: {rawYaml: ['k8s/**']}", ("k8s/",)),
        ("manifests: {rawYaml: ['more/*']}", ("more/",)),
        ("manifests: {rawYaml: ['more/**/*.yaml']}", ("more/",)),
        ("manifests: {kustomize: {paths: [over]}}", ("over/",)),
        ("deploy: {kustomize: {paths: [over]}}", ("over/",)),
        (
            "deploy: {helm: {releases: [{name: web, chartPath: chart, valuesFiles: [v.yaml], setValues: {a.b: 1}}]}}",
            ({"chart": "chart", "release": "web", "values": ["v.yaml"], "set": {"a.b": 1}},),
        ),
    ],
)
def test_a_skaffold_file_says_what_is_built_and_deployed(
    tmp_path: Path, manifests: str, items: tuple[Any, ...]
) -> None:
    write(
        tmp_path,
        **{
            "skaffold.yaml": SKAFFOLD.replace("MANIFESTS", manifests),
            "k8s/a.yaml": DEPLOYMENT,
            "k8s/b.yaml": DEPLOYMENT,
            "more/a.yaml": DEPLOYMENT,
            "more/below/b.yaml": DEPLOYMENT,
            "over/kustomization.yaml": "resources: []",
            "chart/Chart.yaml": "name: x",
            "src/front/Dockerfile": "EXPOSE 80",
        },
    )
    found = look(tmp_path)
    assert found.manifests == items
    assert found.apps == (
        App("front", "src/front", port=80, names=("gcr.io/x/front",)),
        App("other", "src/other", names=("other",), build={"dockerfile": "Other", "args": {"A": "1"}}),
        App("back", "src/back", names=("back",), build={"target": "dev"}),
    )
    assert "the build argument B of other is left out, since skaffold computes it" in found.notes
    assert "the image java is built by jib: push it with `from: daemon`" in found.notes
    assert "skaffold.yaml: its profiles gcb are left out: --profile NAME takes one" in found.notes


def test_sync_and_ports_of_a_skaffold_file_are_told(tmp_path: Path) -> None:
    text = """\
apiVersion: skaffold/v4beta11
build:
  artifacts:
  - image: web
    context: web
    sync:
      manual:
      - {src: 'src/**', dest: /app}
      - {src: 'static/**/*', dest: ., strip: static/}
      - {src: conf/a.ini, dest: /etc/web, strip: conf/}
      - {src: 'src/**/*.py', dest: .}
      - {src: 'absent/**', dest: /app}
      - {src: 'src/**', dest: ../out}
      infer: ['*.css']
portForward:
- {resourceType: service, resourceName: db, namespace: shop, port: 5432, localPort: 15432}
- {resourceType: deployment, resourceName: web, port: 80}
"""
    files = dict.fromkeys(("web/src/a.py", "web/static/a.css", "web/conf/a.ini"), "")
    write(tmp_path, **{"skaffold.yaml": text, "web/Dockerfile": "FROM a\nFROM b\nWORKDIR /srv\n"}, **files)
    found = look(tmp_path)
    paths = {"src": "/app/src", "static": "/srv", "conf/a.ini": "/etc/web/a.ini"}
    assert found.apps[0].build == {"sync": [{"paths": paths}]}
    assert SyncRule.model_validate(found.apps[0].build["sync"][0]).place("src/a.py") == "/app/src/a.py"
    left, db, web = found.notes[:3]
    assert "left out for src/**/*.py, absent/**, src/**, infer: " in left
    assert "edge: {tcp: [{port: 15432, to: shop/db:5432}]}" in db
    assert web == "the port-forward of deployment web is left out: the edge routes to Services"


@pytest.mark.parametrize(
    ("rule", "paths"),
    [
        ("{src: '**/*.py', dest: /app}", {"main.py": "/app/main.py", "lib/a.py": "/app/lib/a.py"}),
        ("{src: '*.py', dest: /app}", {"main.py": "/app/main.py"}),
        ("{src: 'lib/**/*.py', dest: .}", {"lib": "/srv/lib"}),
        ("{src: './static/*.css', dest: /www, strip: static/}", {"static/a.css": "/www/a.css"}),
        ("{src: 'static/**/*.js', dest: /www, strip: static/}", {"static/js/b.js": "/www/js/b.js"}),
        ("{src: 'many/*.txt', dest: .}", {}),
        ("{src: '{lib,static}/*.py', dest: .}", {}),
        ("{src: '**/*.rb', dest: .}", {}),
    ],
)
def test_pattern_of_sync_means_the_files_that_are_there(tmp_path: Path, rule: str, paths: dict[str, str]) -> None:
    """It is a folder where all its files are meant; there are limits, since each file is named."""
    text = f"apiVersion: skaffold/v4beta11\nbuild: {{artifacts: [{{image: web, sync: {{manual: [{rule}]}}}}]}}\n"
    files = (
        "main.py",
        "lib/a.py",
        "static/a.css",
        "static/js/b.js",
        "many/a.md",
        *(f"many/{n}.txt" for n in range(21)),
    )
    write(tmp_path, **dict.fromkeys(files, ""), **{"skaffold.yaml": text, "Dockerfile": "FROM a\nWORKDIR /srv\n"})
    found = look(tmp_path)
    assert found.apps[0].build == ({"sync": [{"paths": paths}]} if paths else {})
    assert any("the sync of web is left out" in note for note in found.notes) is not bool(paths)


def test_profile_that_is_named_is_taken(tmp_path: Path) -> None:
    """GoogleCloudPlatform/point-of-sale says only in its profile `dev` what is built."""
    text = """\
apiVersion: skaffold/v4beta2
manifests: {rawYaml: [k8s/b.yaml]}
profiles:
- name: dev
  build: {artifacts: [{image: api}]}
  manifests: {rawYaml: [k8s/a.yaml]}
  patches: [{op: remove, path: /x}]
  portForward: [{resourceType: service, resourceName: db, port: 5432}]
- {name: release}
"""
    write(tmp_path, **{"skaffold.yaml": text, "k8s/a.yaml": DEPLOYMENT, "k8s/b.yaml": DEPLOYMENT, "Dockerfile": ""})
    found = look(tmp_path, profiles=("dev",))
    assert ([app.name for app in found.apps], found.manifests) == (["api"], ("k8s/a.yaml",))
    assert found.notes[:2] == (
        "skaffold.yaml: a patch of the profile dev is left out: /x is not in it",
        "skaffold.yaml: its profiles release are left out: --profile NAME takes one",
    )
    assert found.notes[2].startswith("the port-forward of service db")
    for wanted in ("prod", "*"):
        with pytest.raises(UsageError) as caught:
            look(tmp_path, profiles=("dev", wanted))
        assert (caught.value.brief, caught.value.details) == (f"there is no profile {wanted}", "known: dev, release")


def test_settings_without_a_counterpart_in_skaffold_are_named(tmp_path: Path) -> None:
    text = """\
apiVersion: skaffold/v4beta11
build:
  artifacts:
  - {image: a, context: a, kaniko: {dockerfile: D, target: t}, hooks: {before: [x]}}
  - {image: b, context: b, docker: {network: host, noCache: true, ssh: default, secrets: [{id: s, src: s.txt}]}}
  - {image: c, context: ../c}
test: [{image: a}]
deploy: {kubectl: {defaultNamespace: shop, flags: {}, manifests: ['x/*.yaml']}, kustomize: {paths: [over]}}
"""
    write(tmp_path, **{"skaffold.yaml": text, "a/D": "", "b/Dockerfile": ""})
    found = look(tmp_path)
    assert {app.name: app.build for app in found.apps} == {
        "a": {"dockerfile": "D", "target": "t"},
        "b": {"secrets": ["id=s,src=s.txt"], "ssh": ["default"]},
    }
    assert notes(found) == (
        "skaffold.yaml: `test` is left out",
        "skaffold.yaml: `deploy.kubectl.defaultNamespace` is left out",
        "of the build of a these are left out: hooks",
        "of the build of b these are left out: network",
        "the image c is left out: ../c is not in this folder",
        "x/*.yaml is left out: it means no manifest in this folder",
        "over is left out: it is no kustomization in this folder",
    )


def test_values_of_a_release_name_the_built_images(tmp_path: Path) -> None:
    """As dynatrace-oss/unguard has them, and as skaffold/v2 had; `up` finds the images by these names."""
    release = """\
    - name: shop
      chartPath: chart
      overrides: {db: {up: true, sizes: [1, 2]}}
      setValues: {a.b: false, deep: {c: 1.5}}
      setValueTemplates:
        api.repository: "{{.IMAGE_REPO_gcr_io_x_api}}"
        api.tag: "{{ .IMAGE_TAG_gcr_io_x_api }}@{{.IMAGE_DIGEST_gcr_io_x_api}}"
        web: "{{.IMAGE_FULLY_QUALIFIED_web}}"
        other: "{{.REGION}}"
        digest: "{{.IMAGE_DIGEST_web}}"
      artifactOverrides: {old: web}
      imageStrategy: {helm: {}}
      setFiles: {a: b}
"""
    build = "build: {artifacts: [{image: gcr.io/x/api, context: api}, {image: web, context: web}]}\n"
    text = f"apiVersion: skaffold/v3\n{build}deploy:\n  helm:\n    releases:\n{release}"
    write(
        tmp_path, **{"skaffold.yaml": text, "chart/Chart.yaml": "name: x", "api/Dockerfile": "", "web/Dockerfile": ""}
    )
    found = look(tmp_path)
    values = {
        **{"db.up": True, "db.sizes[0]": 1, "db.sizes[1]": 2, "a.b": False, "deep.c": 1.5},
        **{"api.repository": "gcr.io/x/api", "api.tag": "dev", "web": "web:dev"},
        **{"old.repository": "web", "old.tag": "dev"},
    }
    assert found.manifests == ({"chart": "chart", "release": "shop", "set": values},)
    said = "setValueTemplates.other, setValueTemplates.digest, setFiles"
    assert notes(found) == (f"of the release shop these are left out: {said}",)


def test_skaffold_files_that_others_require_are_taken(tmp_path: Path) -> None:
    """Each once, with paths from its own folder, and with the profile that `skaffold dev` activates."""
    head = "apiVersion: skaffold/v4beta11\nmetadata: {name: NAME}\n"
    api = f"""{head.replace("NAME", "api")}
requires: [{{path: ../../base}}, {{git: {{repo: x}}}}]
build: {{artifacts: [{{image: api}}]}}
profiles:
- {{name: prod, manifests: {{rawYaml: [prod.yaml]}}}}
- {{name: development, activation: [{{command: dev}}], manifests: {{rawYaml: [k8s/*.yaml, ../../k8s/b.yaml]}}}}
---
{head.replace("NAME", "unwanted")}
build: {{artifacts: [{{image: unwanted}}]}}
"""
    requires = "requires: [{path: src/api/skaffold.yaml, configs: [api]}, {path: base}, {configs: [all]}]\n"
    base = f"{head}build: {{artifacts: [{{image: base, context: image}}]}}\n"
    files = {"src/api/k8s/a.yaml": DEPLOYMENT, "k8s/b.yaml": DEPLOYMENT.replace("name: ", "name: b"), "src/api/x": ""}
    write(tmp_path, **{"skaffold.yaml": f"{head}{requires}", "src/api/skaffold.yaml": api}, **files)
    write(tmp_path, **{"base/skaffold.yml": base, "base/image/Dockerfile": "", "src/api/Dockerfile": ""})
    found = look(tmp_path)
    assert [(app.name, app.context) for app in found.apps] == [("base", "base/image"), ("api", "src/api")]
    assert found.manifests == ("src/api/k8s/", "k8s/")
    assert notes(found) == (
        "src/api/skaffold.yaml: what it requires from elsewhere is left out",
        "src/api/skaffold.yaml: its profiles prod are left out: --profile NAME takes one",
    )


@pytest.mark.parametrize(
    ("activation", "active"),
    [
        ("command: dev", True),
        ("command: debug|dev", True),
        ("command: (dev|run)", True),
        ("command: '!run'", True),
        ("command: '!d.*'", False),
        ("command: build", False),
        ("command: '('", False),
        ("command: 7", False),
        ("command: dev, kubeContext: gke_prod", False),
        ("env: A=b", False),
    ],
)
def test_profile_that_dev_activates_anywhere_is_taken(tmp_path: Path, activation: str, active: bool) -> None:
    """Patterns are those of the command alone (skaffold, pkg/skaffold/schema/profiles.go)."""
    text = f"""\
apiVersion: skaffold/v4beta11
build: {{artifacts: [{{image: web}}]}}
profiles: [{{name: other, activation: [{{{activation}}}], build: {{artifacts: [{{image: api}}]}}}}]
"""
    write(tmp_path, **{"skaffold.yaml": text, "Dockerfile": ""})
    assert [app.name for app in look(tmp_path).apps] == ["api" if active else "web"]


def test_charts_from_elsewhere_of_a_skaffold_file_are_taken(tmp_path: Path) -> None:
    text = """\
apiVersion: skaffold/v4beta11
deploy:
  helm:
    releases:
    - {name: cache, remoteChart: redis, repo: "https://charts.example.com", version: 19.0.1, namespace: data}
    - {name: info, remoteChart: "oci://ghcr.io/acme/info", version: 6.9.0}
    - {name: loose, remoteChart: bitnami/nginx}
"""
    write(tmp_path, **{"skaffold.yaml": text})
    found = look(tmp_path)
    assert found.manifests == (
        {
            "chart": "redis",
            "repo": "https://charts.example.com",
            "version": "19.0.1",
            "release": "cache",
            "namespace": "data",
        },
        {"chart": "oci://ghcr.io/acme/info", "version": "6.9.0", "release": "info"},
    )
    assert "the release loose is left out" in found.notes[0]


@pytest.mark.parametrize(
    ("said", "more"), [("one", {}), ("[one]", {"values": ["one"]}), ("{b: 1}", {"set": {"b": 1}}), ("7", {})]
)
def test_a_skaffold_file_of_another_form_is_no_bug(tmp_path: Path, said: str, more: dict[str, Any]) -> None:
    text = f"""\
apiVersion: skaffold/v4beta11
build: {{artifacts: [{{image: web, docker: {said}}}]}}
deploy: {{helm: {{releases: [{{name: a, chartPath: charts/web, valuesFiles: {said}, setValues: {said}}}]}}}}
"""
    write(tmp_path, **CHART, **{"skaffold.yaml": text})
    assert look(tmp_path).manifests == ({**RELEASE, **more},)


def test_artifact_that_another_is_built_from_is_its_base(tmp_path: Path) -> None:
    """Skaffold builds it first, and hands its name to the other's Dockerfile, as its example `microservices` does."""
    artifact = "{image: app, context: app, requires: [{image: base, alias: BASE}, {image: other}]}"
    text = f"apiVersion: skaffold/v4beta6\nbuild: {{artifacts: [{artifact}, {{image: base, context: base}}]}}\n"
    text += "manifests: {rawYaml: [a.yaml]}\n"
    write(tmp_path, app__Dockerfile="FROM $BASE", base__Dockerfile="FROM x", skaffold_yaml=text)
    write(tmp_path, a_yaml=DEPLOYMENT.replace("localhost:5001/shop/api:1", "app"))
    found = look(tmp_path)
    said = "the image app is built from other: build that before, and name it in images.yaml below `args` of app"
    assert found.notes == (f"{said}, as other",)
    assert project_files.files("shop", found, registry=5001, https=None)["images.yaml"].splitlines()[1:] == [
        "images:",
        "- {from: build, context: app, args: {BASE: shop/base:dev}, as: shop/app:dev}",
        "- {from: build, context: base, as: shop/base:dev}",
    ]
