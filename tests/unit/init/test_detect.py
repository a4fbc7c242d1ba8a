"""What is found in folders as developers have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.workloads import chart_dependencies
from sandbox.errors import UsageError
from sandbox.init import apply_choice, overlay_choice, project_files
from sandbox.init.detected import App, Found, Item
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest
from tests.support.programs import make_program
from tests.support.project_folder import DEPLOYMENT, look, notes, write

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 20))


COMPOSE = """
services:
  Web_UI:
    build: {context: ./web}
    ports: ["127.0.0.1:80:3000/tcp"]
    environment: {MODE: dev, SECRET: "${TOKEN}", NOTHING: null}
    depends_on: [db]
  db:
    image: postgres:17
    expose: [5432]
    environment: ["POSTGRES_DB=shop", HOME]
  other:
    build: {context: ., dockerfile: Other}
"""


def test_manifests_next_to_a_template_are_noted(tmp_path: Path) -> None:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "api.yaml").write_text(DEPLOYMENT)
    (tmp_path / "k8s" / "late.yaml").write_text("{{ if .Values.late }}\nkind: Pod\n{{ end }}\n")
    assert look(tmp_path).notes == ("k8s/ is left out: k8s/late.yaml is not valid YAML",)


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert look(tmp_path) == Found()


def test_dockerfiles_are_found_below_but_not_in_tool_folders(tmp_path: Path) -> None:
    write(
        tmp_path,
        Dockerfile="FROM x\nexpose 8080/tcp\n",
        My_App__Dockerfile="FROM x\n",
        node_modules__a__Dockerfile="FROM x\n",
        tilt_modules__a_yaml=DEPLOYMENT,
    )
    found = look(tmp_path)
    assert not found.manifests
    assert found.apps == (App("app", ".", port=8080), App("my-app", "My_App"))


def test_dockerfiles_named_for_an_image_of_the_manifests(tmp_path: Path) -> None:
    """tilt-dev/tilt-avatars has deploy/api.dockerfile for the image tilt-avatar-api."""
    dockerfiles = {"deploy/api.dockerfile": "FROM x\nCOPY api/ /app\n", "Dockerfile.other": "FROM x\n", "api/a.py": ""}
    write(tmp_path, **dockerfiles, **{"Dockerfile.api.dockerignore": "k8s\n"})
    said = "no image of a manifest is called so; images.yaml can name it with `dockerfile:`"
    assert look(tmp_path).notes == (f"Dockerfile.other, deploy/api.dockerfile: {said}",)
    write(tmp_path, k8s__a_yaml=DEPLOYMENT.replace("localhost:5001/shop/api:1", "acme/shop-api:1"))
    assert look(tmp_path).apps == (App("api", ".", build={"dockerfile": "deploy/api.dockerfile"}),)
    write(tmp_path, api__Containerfile="FROM x\nEXPOSE 80\n")
    assert look(tmp_path).apps == (App("api", "api", port=80, build={"dockerfile": "Containerfile"}),)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        ("/etc", "what it is built from, /etc, is not in this folder"),
        ("https://e.example/x.git", "what it is built from, https://e.example/x.git, is not in this folder"),
        ("'git@e.example:x/y.git'", "what it is built from, git@e.example:x/y.git, is not in this folder"),
        ("'$NOWHERE/web'", "what it is built from, $NOWHERE/web, has a variable without a value"),
        ("{dockerfile: ../Dockerfile}", "its Dockerfile, ../Dockerfile, is not in the folder that is built"),
        (
            "{context: ../x, dockerfile_inline: FROM x}",
            "what it is built from, ../x, is not in this folder, where its Dockerfile would be written",
        ),
        ("", "nothing builds one"),
        ("{}, provider: {type: model}", "the provider model has no counterpart here"),
    ],
)
def test_service_built_from_elsewhere_is_left_out_and_named(tmp_path: Path, build: str, reason: str) -> None:
    write(tmp_path, **{"compose.yaml": f"services: {{web: {{restart: always, build: {build}}}}}"})
    notes = look(tmp_path).notes
    assert any(note.startswith(f"web is left out: it names no image, and {reason}") for note in notes), notes


def test_image_that_is_not_built_here_is_pulled_and_named(tmp_path: Path) -> None:
    write(tmp_path, **{"compose.yaml": "services: {web: {image: acme/web, build: {context: /etc}}}"})
    found = look(tmp_path)
    assert [(app.context, app.image) for app in found.apps] == [(None, "acme/web")]
    assert any(
        note.startswith("web is not built, but its image acme/web is pulled: what it is built") for note in found.notes
    )


def test_dockerfile_in_a_compose_file_is_written(tmp_path: Path) -> None:
    inline = 'dockerfile_inline: "FROM $BASE\\nENV A=$$B\\nEXPOSE 80"'
    write(
        tmp_path, **{"compose.yaml": f"services: {{web: {{build: {{context: app, {inline}}}}}}}", ".env": "BASE=x:1\n"}
    )
    found = look(tmp_path)
    assert [(app.context, app.port, app.build) for app in found.apps] == [
        ("app", 80, {"dockerfile": "sandbox-web.Dockerfile"})
    ]
    written = project_files.files("shop", found, registry=5001, https=None)
    assert written["app/sandbox-web.Dockerfile"] == "FROM x:1\nENV A=$B\nEXPOSE 80"


def test_service_that_is_left_out_is_called_nothing(tmp_path: Path) -> None:
    """umbrel's app_proxy has no image: no program is there to have another name."""
    write(tmp_path, **{"compose.yaml": "services: {app_proxy: {restart: always}, web: {image: x}}"})
    assert look(tmp_path).notes == ("app_proxy is left out: it names no image, and nothing builds one",)


@pytest.mark.parametrize(("other", "objects"), [("k8s/compose/x.yml", "sandbox-k8s"), ("k8s/README.md", "k8s")])
def test_objects_are_written_next_to_no_other_files(tmp_path: Path, other: str, objects: str) -> None:
    """dockersamples/spring-petclinic-docker has a compose file in k8s/, which `up` would take for a manifest."""
    write(tmp_path, compose_yaml="services: {web: {image: x}}", **{other.replace("/", "__"): "services: {}"})
    found = look(tmp_path)
    assert (found.manifests, found.objects) == ((), objects)
    files = project_files.files("shop", found, registry=5001, https=None)
    assert f"{objects}/web.yaml" in files
    assert f"apply: [{objects}/]" in files["sandbox.yaml"]


def test_dockerfile_that_copies_from_the_project_is_built_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "services__api__Dockerfile": "FROM busybox\nCOPY services/api/index.html libs /www/\nEXPOSE 8080\n",
            "services__api__index.html": "hi",
            "services__web__Dockerfile": f"FROM busybox\nCOPY src {'a' * 300} /www/\n",
            "services__web__src__a": "",
            "src__a": "",
            "k8s__db.yaml": DEPLOYMENT.replace("shop/api", "other/db"),
        },
    )
    found = look(tmp_path)
    api, web = found.apps
    assert (api.name, api.context, api.build) == ("api", ".", {"dockerfile": "services/api/Dockerfile"})
    assert (api.port, api.is_whole) == (8080, False)
    assert (web.context, web.build) == ("services/web", {})
    assert found.notes == ("services/api/Dockerfile is built from this folder, which has what it copies",)


def test_dockerfile_that_no_folder_has_all_of_is_named(tmp_path: Path) -> None:
    """110yards/fantasy copies shared code next to a service's before it builds."""
    write(tmp_path, api__Dockerfile="FROM x\nCOPY a.txt /a\nCOPY lib /lib\n", lib__a="", **{"api/a.txt": ""})
    said = "api/Dockerfile copies a.txt from its folder and lib from this one: no build has both; change one"
    assert look(tmp_path).notes[:1] == (said,)


@pytest.mark.parametrize("refused", ["iterdir", "is_dir"])
def test_folders_that_may_not_be_read_are_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    write(tmp_path, app__Dockerfile="FROM x", pgdata__Dockerfile="FROM x")
    real = getattr(Path, refused)

    def refuse(place: Path) -> object:
        if place.name == "pgdata":
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(Path, refused, refuse)
    assert [app.name for app in look(tmp_path).apps][:1] == ["app"]


LEFT_OUT = ("depends_on", "environment.NOTHING", "environment.SECRET", "environment.HOME")


def test_a_compose_file_says_more_than_dockerfiles(tmp_path: Path) -> None:
    write(
        tmp_path,
        web__Dockerfile="FROM x\nEXPOSE 1\n",
        **{"compose.yaml": COMPOSE, "docker-compose.yml": "services: {}"},
    )
    web, db, other = look(tmp_path).apps
    assert web == App("web-ui", "web", port=3000, environment={"MODE": "dev"}, left_out=LEFT_OUT[:3])
    assert db == App("db", image="postgres:17", port=5432, environment={"POSTGRES_DB": "shop"}, left_out=LEFT_OUT[3:])
    assert other == App("other", ".", build={"dockerfile": "Other"})


def test_a_service_without_ports_has_its_dockerfiles(tmp_path: Path) -> None:
    write(tmp_path, web__Dockerfile="EXPOSE 81", **{"compose.yml": "services: {web: {build: web, volumes: [a:/b]}}"})
    (web,) = look(tmp_path).apps
    assert web == App("web", "web", port=81, claims={"/b": "a"}, volumes=("a",))


def test_worker_of_an_image_is_not_asked_at_its_port(tmp_path: Path) -> None:
    """A worker that is not waited for at the port of the web server whose image it has; others may call it there."""
    text = "services: {web: {build: ., ports: [8000]}, worker: {build: ., command: celery worker}}"
    write(tmp_path, Dockerfile="FROM x\nEXPOSE 8000\n", compose_yaml=text)
    web, worker = look(tmp_path).apps
    assert (web.port, worker.port, worker.more_ports) == (8000, None, ((8000, "tcp"),))


@pytest.mark.parametrize("text", ["services: [", "[]", "services: []", "\x00"])
def test_a_compose_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, **{"compose.yaml": text})
    with pytest.raises(UsageError, match=r"compose\.yaml"):
        look(tmp_path)


def test_image_that_others_are_made_from_is_built_for_them(tmp_path: Path) -> None:
    """Its name is the one in their Dockerfiles; so it is for tilt-dev/pixeltilt, whose manifests do not name it."""
    tiltfile = "docker_build('base', 'base')\ndocker_build('shop/api', 'api')\nk8s_yaml('api.yaml')\n"
    text = DEPLOYMENT.replace("localhost:5001/shop/api:1", "shop/api")
    write(tmp_path, Tiltfile=tiltfile, base__Dockerfile="FROM x\n", api__Dockerfile="FROM base\n", api_yaml=text)
    found = look(tmp_path)
    assert not project_files.unnamed("shop", found)
    images = project_files.files("shop", found, registry=5001, https=None)["images.yaml"]
    assert "\n- {from: build, context: base, as: base:latest}\n" in images
    (tmp_path / "Tiltfile").unlink()
    services = "base: {build: base, image: base}, api: {build: {context: api, args: {FROM: base}}}"
    write(tmp_path, compose_yaml=f"services: {{{services}}}", api__Dockerfile="ARG FROM=y\nFROM $FROM\n")
    (tmp_path / "api.yaml").unlink()
    images = project_files.files("shop", look(tmp_path), registry=5001, https=None)["images.yaml"]
    assert "\n- {from: build, context: base, as: base:latest}\n" in images


@pytest.mark.parametrize(
    ("kind", "taken"), [("kind: CronJob", ()), ("kind: ConfigMap", ()), ("kind: StatefulSet", ("k8s/",))]
)
def test_manifests_of_no_program_do_not_replace_a_compose_file(tmp_path: Path, kind: str, taken: tuple[str]) -> None:
    job = DEPLOYMENT.partition("---")[0].replace("kind: Deployment", kind)
    write(tmp_path, k8s__cron_yaml=job, compose_yaml="services: {web: {build: web}, db: {image: postgres}}")
    found = look(tmp_path)
    assert found.manifests == taken
    said = "k8s/ is left out, since no program of the compose file runs in it"
    assert (said in found.notes) is not bool(taken)


def test_compose_file_in_a_folder_below_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"docker/compose.yml": "services: {web: {image: x}}", "Dockerfile": "FROM x\n"})
    said = "docker/compose.yml is not read: run `sandbox init` in that folder, if all that it builds is there"
    assert said in look(tmp_path).notes
    write(tmp_path, web__Tiltfile="", api__skaffold_yaml="", **{".devcontainer/compose.yaml": ""})
    found = look(tmp_path).notes
    assert [one.partition(" ")[0] for one in found if "not read" in one] == [
        *(".devcontainer/compose.yaml", "api/skaffold.yaml", "docker/compose.yml", "web/Tiltfile")
    ]
    write(tmp_path, compose_yaml="services: {web: {image: x}}")
    assert said not in look(tmp_path).notes


def test_folders_of_other_sandboxes_are_named_and_left_out(tmp_path: Path) -> None:
    for name in ("a", "more/b"):
        write(
            tmp_path, **{f"{name}/sandbox.yaml": "", f"{name}/Dockerfile": "FROM x\n", f"{name}/k8s/a.yaml": DEPLOYMENT}
        )
    write(tmp_path, **{"c/Dockerfile": "FROM x\n"})
    found = look(tmp_path)
    assert found.apps == (App("c", "c"),) and not found.manifests
    said = "left out, with a sandbox.yaml of their own: a/, more/b/ (sandbox up -f a/sandbox.yaml)"
    assert found.notes == (said,)


def test_manifest_folders_are_the_largest_with_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        deploy__k8s__api__api_yaml="",
        **{
            "deploy/k8s/api/api.yaml": DEPLOYMENT,
            "deploy/values.yaml": "a: 1",
            "top.yaml": DEPLOYMENT.replace("name: api}", "name: top}"),
            "ci.yml": "on: push",
        },
    )
    found = look(tmp_path)
    assert found.manifests == ("deploy/k8s/", "top.yaml")
    assert found.hosts == ("api.shop.sandbox.localhost",)
    assert found.images == ("localhost:5001/shop/api:1",)


CHART = {"charts/web/Chart.yaml": "name: x", "charts/web/templates/a.yaml": "{{ x }}"}


LIBRARY = {"charts/lib/Chart.yaml": "type: library", "charts/web/charts/sub/Chart.yaml": "name: sub"}


def test_a_chart_is_taken_where_there_is_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, **CHART, **LIBRARY)
    assert look(tmp_path).manifests == ({"chart": "charts/web", "release": "web"},)
    write(tmp_path, **{"k8s/a.yaml": DEPLOYMENT})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert any("{chart: charts/web/}" in note for note in found.notes)


@pytest.mark.parametrize(
    ("folders", "taken"),
    [
        (("kustomize",), "kustomize/"),
        (("base", "overlays/prod", "overlays/dev"), "overlays/dev/"),
        (("base", "overlays/eu", "overlays/local"), "overlays/local/"),
        (("base", "overlays/eu"), "overlays/eu/"),
        (("base", "overlays/prod", "overlays/test"), "overlays/test/"),
        (("base", "overlays/prod", "overlays/staging"), "base/"),
        (("b", "deep/er/a"), "b/"),
    ],
)
def test_an_overlay_for_development_is_taken(tmp_path: Path, folders: tuple[str, ...], taken: str) -> None:
    for folder in folders:
        up = "/".join([".."] * (folder.count("/") + 1))
        base = f"resources: [{up}/base]" if folder.startswith("overlays") else "resources: [a.yaml]"
        write(tmp_path, **{f"{folder}/kustomization.yaml": base, f"{folder}/a.yaml": DEPLOYMENT})
    found = look(tmp_path)
    assert found.manifests == (taken,)
    assert f"{taken} is applied by `kubectl kustomize`" in found.notes


def test_kustomizations_of_several_programs_are_taken(tmp_path: Path) -> None:
    for program in ("api", "web"):
        for overlay in ("dev", "prod"):
            base = {f"{program}/overlays/{overlay}/kustomization.yaml": "resources: [../../base]"}
            write(tmp_path, **base, **{f"{program}/base/kustomization.yaml": "resources: [a.yaml]"})
        write(tmp_path, **{f"{program}/base/a.yaml": DEPLOYMENT.replace("name: api}", f"name: {program}}}")})
    found = look(tmp_path)
    assert found.manifests == ("api/overlays/dev/", "web/overlays/dev/")
    assert "api/overlays/dev/, web/overlays/dev/ are applied by `kubectl kustomize`" in found.notes
    assert "web/overlays/prod/ is another kustomization, and left out" in found.notes
    same: list[Mapping[str, Any]] = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"}}]
    assert apply_choice.choose(tmp_path, [], lambda _: same) == ("api/overlays/dev/",)


def test_remote_bases_and_components_are_omitted(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "far/kustomization.yaml": "resources: ['https://example.com/a.yaml']",
            "part/kustomization.yaml": "kind: 'Component'\n",
            "k8s/a.yaml": DEPLOYMENT,
        },
    )
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes == ("far/ is left out: it fetches https://example.com/a.yaml",)


def test_kustomization_that_mentions_components_is_applied(tmp_path: Path) -> None:
    text = "# kind: Component has parts\nresources: [a.yaml]\n"
    write(tmp_path, **{"dev/kustomization.yaml": text, "dev/a.yaml": DEPLOYMENT})
    assert look(tmp_path).manifests == ("dev/",)


def test_kinds_that_nothing_defines_and_doubles_are_left_out(tmp_path: Path) -> None:
    own = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\n"
    write(tmp_path, **{"istio/a.yaml": own, "k8s/a.yaml": DEPLOYMENT, "release/all.yaml": DEPLOYMENT})
    write(tmp_path, **{"skaffold.yaml": "kind: Config\napiVersion: skaffold/v3\nmetadata: {name: x}\n"})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes[0].startswith("istio/ is left out, since nothing defines its kinds: Gateway")
    assert found.notes[1].startswith("release/ is left out")


def test_file_of_an_unknown_kind_does_not_take_others_along(tmp_path: Path) -> None:
    """A ServiceMonitor next to the project's own objects is left out alone."""
    own = "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\n"
    write(tmp_path, **{"k8s/api.yaml": DEPLOYMENT, "k8s/late/b.yaml": named("b"), "k8s/monitor.yaml": own})
    found = look(tmp_path)
    assert found.manifests == ("k8s/api.yaml", "k8s/late/b.yaml")
    said = "k8s/monitor.yaml is left out, since nothing defines its kinds: ServiceMonitor (monitoring.coreos.com/v1)"
    assert found.notes == (said,)


def test_chart_goes_before_manifests_that_run_nothing(tmp_path: Path) -> None:
    """zitadel/zitadel-charts has definitions for its tests next to its chart."""
    write(tmp_path, chart__Chart_yaml="apiVersion: v2\nname: web\nversion: 1.0.0\n", test__a_yaml=named("a"))
    found = look(tmp_path)
    assert found.manifests == ({"chart": "chart", "release": "chart"},)
    assert notes(found) == ("test/ is left out, since nothing in it runs: below `apply` it is taken, too",)
    write(tmp_path, test__b_yaml=DEPLOYMENT)
    assert look(tmp_path).manifests == ("test/",)


def test_chart_goes_before_manifests_that_run_less(tmp_path: Path) -> None:
    """instana/robot-shop has its programs in a chart, and a generator of load in manifests next to that."""
    write(tmp_path, K8s__helm__Chart_yaml="apiVersion: v2\nname: shop\nversion: 1.0.0\n", K8s__load_yaml=DEPLOYMENT)
    runs = {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "web"}]}}}}
    notes: list[str] = []
    taken = apply_choice.choose(tmp_path, notes, lambda _: [runs, runs])
    assert taken == ({"chart": "K8s/helm", "release": "helm"},)
    assert notes == ["left out, since less runs in these than in the charts: K8s/load.yaml"]
    assert apply_choice.choose(tmp_path, notes, lambda _: [runs]) == ("K8s/load.yaml",)


def test_charts_in_folders_of_one_name_have_own_releases(tmp_path: Path) -> None:
    """okteto/movies has a folder `chart` in each of its programs."""
    for program in ("api", "web", "deep/web", "db"):
        write(tmp_path, **{f"{program}/{'db' if program == 'db' else 'chart'}/Chart.yaml": "name: x\n"})
    found = [one["release"] for one in look(tmp_path).manifests if not isinstance(one, str)]
    assert found == ["api", "db", "web", "web-2"]


def test_chart_of_charts_or_what_it_consists_of_is_taken(tmp_path: Path) -> None:
    """aws-containers/retail-store-sample-app has a chart for each program, and one that consists of these."""
    cart, database = "name: cart, repository: 'file://../cart'", "name: db, repository: 'https://charts.example'"
    parts = f"dependencies: [{{{cart}, version: 1.0.0}}, {{{database}, version: 2.0.0}}]\n"
    write(tmp_path, **{"all/Chart.yaml": f"name: all\n{parts}", "cart/Chart.yaml": "name: cart\n"})
    found = look(tmp_path)
    assert found.manifests == ({"chart": "cart", "release": "cart"},)
    assert notes(found) == ("all/ is left out, since it lacks charts that are taken by themselves: cart/",)
    write(tmp_path, **{"all/charts/db-2.0.0.tgz": ""})
    found = look(tmp_path)
    assert found.manifests == ({"chart": "all", "release": "all"},)
    assert notes(found) == ("cart/ is left out, since it is a part of all/",)


def test_kinds_in_kustomizations_and_charts_are_noted(tmp_path: Path) -> None:
    monitor = "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: m}\n"
    route = "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: r}\n"
    write(tmp_path, raw_yaml=f"{monitor}---\n{route}")
    write(tmp_path, skaffold_yaml="apiVersion: skaffold/v4beta6\nmanifests: {rawYaml: [raw.yaml]}\n")
    kind = "ServiceMonitor (monitoring.coreos.com/v1)"
    said = f"nothing here defines some kinds of what is applied: {kind}; add what does to `apply`"
    assert look(tmp_path).notes == (said,)


def test_version_that_no_cluster_has_is_noted(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/a.yaml": "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: tick}\n"})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes[0].startswith("before `sandbox up`, in k8s/: write `apiVersion: batch/v1`; if its fields differ")
    write(tmp_path, Tiltfile="k8s_yaml('k8s/a.yaml')")
    assert any(one.startswith("before `sandbox up`, in k8s/a.yaml: write") for one in look(tmp_path).notes)


def test_kustomization_of_a_chart_is_not_the_projects(tmp_path: Path) -> None:
    """traefik/traefik-helm-chart has one in the folder of its chart's definitions."""
    write(tmp_path, chart__Chart_yaml="apiVersion: v2\nname: web\nversion: 1.0.0\n", chart__crds__a_yaml=named("a"))
    write(tmp_path, chart__crds__kustomization_yaml="resources: [a.yaml]\n")
    assert look(tmp_path).manifests == ({"chart": "chart", "release": "chart"},)


def test_kustomization_that_cannot_be_taken_is_named(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(tmp_path, base__kustomization_yaml="resources: []\n")
    write(project, dev__kustomization_yaml="resources: [../../base]\n", odd__kustomization_yaml="")
    (project / "odd/kustomization.yaml").write_bytes(b"\xff")
    found = look(project)
    assert found.manifests == ()
    assert found.notes == (
        "dev/ is left out: it reads ../base, which is not in this folder",
        "odd/ is left out: odd/kustomization.yaml cannot be read",
    )


def test_kustomization_that_needs_helm_is_left_out(tmp_path: Path) -> None:
    charts = "helmCharts: [{name: x, repo: https://e.example, version: 1.0.0}]\n"
    write(tmp_path, dev__kustomization_yaml=charts, base__kustomization_yaml="resources: [a.yaml]\n")
    write(tmp_path, base__a_yaml=named("a"))
    found = look(tmp_path)
    assert found.manifests == ("base/",)
    assert "dev/ is left out: " in found.notes[0] and "names charts (helmCharts)" in found.notes[0]


def named(*names: str) -> str:
    return "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n" for name in names)


def test_repeated_objects_are_taken_from_the_largest_file(tmp_path: Path) -> None:
    write(tmp_path, **{"all/a.yaml": named("a"), "all/every.yaml": named("a", "b"), "all/b.yaml": named("b")})
    found = look(tmp_path)
    assert found.manifests == ("all/every.yaml",)
    assert found.notes[0] == "all/a.yaml is left out, since what it says others say before it"


def test_file_that_repeats_objects_is_left_out(tmp_path: Path) -> None:
    shared = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    write(tmp_path, **{"a/a.yaml": named("a") + shared, "b/b.yaml": named("b", "a"), "c/c.yaml": named("c") + shared})
    found = look(tmp_path)
    assert found.manifests == ("a/", "c/")
    assert "some of what (ConfigMap a, …) it says" in found.notes[0]


def program(name: str, kind: str = "Deployment", api: str = "apps/v1", **more: Any) -> str:
    metadata = {"name": name}
    spec = {"template": {"spec": {"containers": [{"name": name, "image": f"example.com/{name}:1"}]}}}
    return "---\n" + yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, **more})


def test_variants_of_a_file_are_left_out(tmp_path: Path) -> None:
    """istio's samples/bookinfo: `bookinfo.yaml`, and variants of it that repeat or add programs."""
    route = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: page}\n"
    write(
        tmp_path,
        **{
            "kube/bookinfo.yaml": program("details") + program("page"),
            "kube/bookinfo-dualstack.yaml": program("details") + program("page"),
            "kube/bookinfo-mysql.yaml": program("mysql"),
            "kube/bookinfo-ingress.yaml": route,
            "kube/page-nodeport.yaml": program("page"),
        },
    )
    found = look(tmp_path)
    assert found.manifests == ("kube/bookinfo.yaml", "kube/bookinfo-ingress.yaml")
    said = "left out, as variants of kube/bookinfo.yaml: kube/bookinfo-dualstack.yaml, kube/bookinfo-mysql.yaml"
    assert said in found.notes
    assert "kube/page-nodeport.yaml is left out, since what it says others say before it" in found.notes


def test_files_that_repeat_nothing_are_parts(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/web.yaml": program("web"), "k8s/web-db.yaml": program("db")})
    assert look(tmp_path).manifests == ("k8s/",)


def test_kustomization_with_a_way_in_is_taken(tmp_path: Path) -> None:
    """argo-cd's manifests: `core-install` has no web server, and `-with-hydrator` is a variant of each."""
    files = {"base/web/a.yaml": program("web", "Service", "v1", spec={"ports": [{"port": 80}]})}
    files["base/web/kustomization.yaml"] = "resources: [a.yaml]\n"
    files["base/repo/a.yaml"] = program("repo", "Service", "v1", spec={"ports": [{"port": 8081}]})
    files["base/repo/kustomization.yaml"] = "resources: [a.yaml]\n"
    for name, parts in {"core-install": "../base/repo", "namespace-install": "../base/web, ../base/repo"}.items():
        files[f"{name}/kustomization.yaml"] = f"resources: [{parts}]\n"
        files[f"{name}-with-hydrator/kustomization.yaml"] = f"resources: [../{name}]\n"
    write(tmp_path, **files)
    rendered = {"core-install/": "base/repo", "namespace-install/": "base/web"}

    def render(items: Iterable[Item]) -> list[Manifest]:
        return [one for item in items for one in manifests.load([tmp_path / rendered[str(item)] / "a.yaml"])]

    said: list[str] = []
    assert overlay_choice.choose(tmp_path, said, render) == ("namespace-install/",)
    assert "core-install/ is another kustomization, and left out" in said
    assert "core-install-with-hydrator/ is left out, as a variant of core-install/" in said


def test_service_that_may_be_a_page_gets_an_ingress(tmp_path: Path) -> None:
    """argo-cd's install.yaml has Services at port 80 and others, and no Ingress."""
    ports = {"server": 80, "repo": 8081, "redis": 6379}
    services = [program(name, "Service", "v1", spec={"ports": [{"port": one}]}) for name, one in ports.items()]
    write(tmp_path, install_yaml="".join(services))
    found = look(tmp_path)
    assert [one.name for one in found.fronts] == ["server"]
    assert "no manifest is an Ingress; sandbox-ingress.yaml has one for server" in found.notes


def test_missing_ingress_is_said_where_no_service_is_a_page(tmp_path: Path) -> None:
    services = [program(name, "Service", "v1", spec={"ports": [{"port": 9080}]}) for name in ("details", "reviews")]
    write(tmp_path, install_yaml="".join(services))
    (said,) = look(tmp_path).notes
    assert said.startswith("no manifest is an Ingress, and which Service is a page is not known (details, reviews)")
    assert "kubectl create ingress" in said


def test_routes_of_the_gateway_api_switch_it_on(tmp_path: Path) -> None:
    api = "gateway.networking.k8s.io/v1"
    write(tmp_path, **{"k8s/a.yaml": program("web"), "k8s/r.yaml": program("web", "HTTPRoute", api, spec={})})
    found = look(tmp_path)
    assert (found.manifests, found.needs_gateway_api) == (("k8s/",), True)
    written = project_files.files("shop", found, registry=5001, https=None)
    assert "\n  gateway_api: true\n" in written["sandbox.yaml"]
    write(tmp_path, **{"k8s/g.yaml": program("own", "Gateway", api, spec={"gatewayClassName": "istio"})})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",) or "k8s/g.yaml" not in found.manifests
    assert any("no Gateways of the class istio" in one for one in found.notes)


def test_missing_helm_is_said_first_and_dockerfiles_of_a_chart_are_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """goharbor/harbor-helm has a Dockerfile for its tests next to its chart."""
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path, **{"Chart.yaml": "name: harbor\n", "test/e2e/Dockerfile": "FROM golang\n"})
    found = look(tmp_path)
    assert found.notes[0].startswith("helm is not installed, so nothing is known of what the charts run: install helm")
    assert not found.apps


def test_manifests_take_only_contexts_and_names_from_a_compose_file(tmp_path: Path) -> None:
    """dockersamples/example-voting-app: the stage `dev` has no source, which compose mounts into it."""
    build = "{context: vote, target: dev, args: {A: b}}"
    text = f"services: {{vote: {{build: {build}, volumes: ['./vote:/usr/local/app'], command: nodemon}}}}"
    write(
        tmp_path,
        **{"compose.yaml": text, "vote/Dockerfile": "FROM x AS dev\nFROM dev\n", "vote/app.py": ""},
        **{"k8s-specifications/vote.yaml": program("vote")},
    )
    found = look(tmp_path)
    written = project_files.files("shop", found, registry=5001, https=None)
    assert "- {from: build, context: vote, args: {A: b}, as: shop/vote:dev}\n" in written["images.yaml"]
    assert project_files.only_built("shop", found) == {"vote": ("target", "sync")}


def test_images_of_one_repository_are_told_apart_by_tags(tmp_path: Path) -> None:
    """open-telemetry/opentelemetry-demo has one repository for all programs."""
    names = ("ad", "cart")
    text = [f"{one}: {{build: {one}, image: 'ghcr.io/acme/demo:1-{one}'}}" for one in names]
    objects = "".join(program(one).replace(f"example.com/{one}:1", f"ghcr.io/acme/demo:1-{one}") for one in names)
    files = {f"{one}/Dockerfile": "FROM x\n" for one in names}
    write(tmp_path, **{"compose.yaml": f"services: {{{', '.join(text)}}}", "k8s/all.yaml": objects, **files})
    written = project_files.files("shop", look(tmp_path), registry=5001, https=None)["images.yaml"]
    for one in names:
        assert f"- {{from: build, context: {one}, as: shop/{one}:dev, for: [ghcr.io/acme/demo:1-{one}]}}" in written


def test_folders_of_what_was_left_behind_are_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/a.yaml": named("a"), "legacy/b.yaml": named("b")})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes == ("legacy/ is left out, by its name",)


def test_a_chart_in_its_own_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{"podinfo/Chart.yaml": "name: podinfo\nversion: 1.0.0\napiVersion: v2\n"})
    monkeypatch.chdir(tmp_path / "podinfo")
    assert look(Path()).manifests == ({"chart": ".", "release": "podinfo"},)


def test_services_without_an_ingress_are_noted(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{"k8s/a.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"},
    )
    found = look(tmp_path)
    assert [one.name for one in found.fronts] == ["web"]
    assert found.notes == ("no manifest is an Ingress; sandbox-ingress.yaml has one for web",)


def test_objects_next_to_files_of_tools_are_taken_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/values.yaml": "a: 1", "k8s/a.yaml": DEPLOYMENT, "k8s/skaffold.yaml": "apiVersion: x"})
    assert look(tmp_path).manifests == ("k8s/a.yaml",)


def test_objects_of_no_sensible_shape_do_not_stop_it(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/a.yaml": "{apiVersion: v1, kind: Ingress, metadata: {name: a}, spec: [1]}"})
    write(tmp_path, **{"k8s/b.yaml": "{apiVersion: v1, kind: Deployment, metadata: {name: a}, spec: [1]}"})
    assert look(tmp_path).manifests == ("k8s/",)


@pytest.mark.fault(43)
@pytest.mark.parametrize("kind", ["endless", "pipe", "elsewhere", "bomb"])
def test_harmful_files_of_a_folder_are_left_alone(tmp_path: Path, kind: str) -> None:
    """`init` in a folder with a link to an endless file, a pipe, an alias bomb → none is read."""
    folder = tmp_path / "project"
    (folder / "k8s").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text(DEPLOYMENT)
    for name in ("k8s/a.yaml", "b.yaml"):
        match kind:
            case "endless":
                (folder / name).symlink_to("/dev/zero")
            case "pipe":
                os.mkfifo(folder / name)
            case "elsewhere":
                (folder / name).symlink_to(tmp_path / "secret.yaml")
            case "bomb":
                (folder / name).write_text(BOMB)
    assert look(folder) == Found()


@pytest.mark.fault(43)
def test_compose_file_elsewhere_is_refused(tmp_path: Path) -> None:
    """A compose file, or the Dockerfile that it builds, is a link or a path out of the folder → not read."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
    (folder / "compose.yaml").symlink_to("../compose.yaml")
    with pytest.raises(UsageError, match="a link that leaves"):
        look(folder)
    (folder / "compose.yaml").unlink()
    os.mkfifo(folder / "compose.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        look(folder)
    (folder / "compose.yaml").unlink()
    (folder / "compose.yaml").write_text("services: {a: {build: ..}}")
    (tmp_path / "Dockerfile").write_text("EXPOSE 4711")
    assert [app.port for app in look(folder).apps] == [None]


def test_apps_of_the_same_name_are_distinguished(tmp_path: Path) -> None:
    for name in ("a b", "a-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").touch()
    assert sorted(app.name for app in look(tmp_path).apps) == ["a-b", "a-b-2"]


def test_name_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff")).mkdir()
    (tmp_path / os.fsdecode(b"a\xff") / "Dockerfile").touch()
    assert look(tmp_path) == Found()


def test_manifests_next_to_a_kustomization_are_named(tmp_path: Path) -> None:
    files = {"base/kustomization.yaml": "resources: [../parts/a.yaml]\n", "parts/a.yaml": DEPLOYMENT}
    other = DEPLOYMENT.replace("name: api}", "name: other}")
    write(tmp_path, **files, **{"other/b.yaml": other})
    found = look(tmp_path)
    assert found.manifests == ("base/",)
    assert "other/ is left out, since the kustomization does not name it" in found.notes
    assert not any(note.startswith("parts/") for note in found.notes)


def test_manifests_above_a_kustomization_are_named(tmp_path: Path) -> None:
    write(tmp_path, **{"deploy__web.yaml": DEPLOYMENT, "deploy__k__kustomization.yaml": "resources: [a.yaml]\n"})
    write(tmp_path, **{"deploy__k__a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
    found = look(tmp_path)
    assert found.manifests == ("deploy/k/",)
    assert "deploy/web.yaml is left out, since the kustomization does not name it" in found.notes


def test_manifests_next_to_the_folder_of_a_chart_are_taken(tmp_path: Path) -> None:
    """microservices-demo/microservices-demo, the sock shop, has one file of everything next to its chart."""
    write(tmp_path, **{"deploy/kubernetes/all.yaml": DEPLOYMENT, "deploy/kubernetes/helm/Chart.yaml": "name: x\n"})
    assert look(tmp_path).manifests == ("deploy/kubernetes/all.yaml",)


def test_chart_that_does_not_render_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart of formbricks/formbricks requires a value."""
    write(tmp_path, chart__Chart_yaml="apiVersion: v2\nname: web\nversion: 1.0.0\n")
    said = "Error: execution error at (web/templates/a.yaml:9:18): webappUrl is required"
    program = f"#!/bin/sh\necho 'warning: old' >&2\necho '{said}' >&2\nexit 1\n"
    monkeypatch.setenv("PATH", f"{make_program(tmp_path / 'bin' / 'helm', program).parent}:{os.environ['PATH']}")
    found = look(tmp_path)
    assert found.manifests == ({"chart": "chart", "release": "chart"},)
    assert found.notes == (f"before `sandbox up`: the chart chart does not render: {said}",)
    monkeypatch.setattr(chart_dependencies, "MISSING", "webappUrl")  # as it says where dependencies are missing
    assert look(tmp_path).notes == ()


def test_chart_without_its_dependencies_is_named(tmp_path: Path) -> None:
    needs = "name: web\ndependencies: [{name: redis}, {name: common}, {name: db}]\n"
    packed = {"charts/common/Chart.yaml": "type: library\n", "charts/db-1.2.3.tgz": ""}
    write(tmp_path, **{"Chart.yaml": needs, "templates/a.yaml": "{{ x }}", **packed})
    assert "./ is a chart without redis in its charts/: helm dependency build ./" in look(tmp_path).notes
    pinned = "dependencies: [{name: redis, repository: https://e.example/charts, version: 1.2.3}]\n"
    write(tmp_path, **{"Chart.lock": pinned})  # `up` pulls it
    assert not [one for one in look(tmp_path).notes if "without" in one]


def test_dependencies_of_a_chart_of_helm_2_are_read(tmp_path: Path) -> None:
    needs = "dependencies: [{name: redis, repository: https://e.example/charts, version: 1.2.3}]\n"
    write(tmp_path, **{"Chart.yaml": "name: web\napiVersion: v1\n", "requirements.yaml": needs})
    assert "./ is a chart without redis in its charts/: helm dependency build ./" in look(tmp_path).notes
    write(tmp_path, **{"requirements.lock": needs})
    assert not [one for one in look(tmp_path).notes if "without" in one]


LONG = "x" * 300


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("compose.yaml", f"services: {{web: {{extends: {{file: {LONG}, service: a}}, image: busybox}}}}"),
        ("compose.yaml", f"services: {{web: {{image: busybox, env_file: {LONG}, volumes: ['./{LONG}:/a']}}}}"),
        ("compose.yaml", f"services: {{web: {{build: {LONG}}}}}"),
        (
            "skaffold.yaml",
            f"{{apiVersion: skaffold/v4beta6, manifests: {{rawYaml: [{LONG}], kustomize: {{paths: [{LONG}]}}}}}}",
        ),
        ("over/kustomization.yaml", f"resources: [{LONG}]"),
    ],
)
def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path, **CHART, **{file: text})
    assert LONG not in repr(look(tmp_path).manifests)


@pytest.mark.parametrize(("file", "tool"), [(".ddev/config.yaml", "DDEV"), ("devfile.yaml", "odo")])
def test_files_of_other_tools_are_said_to_be_unread(tmp_path: Path, file: str, tool: str) -> None:
    write(tmp_path, **{file: "", "compose.yaml": "services: {web: {image: x}}"})
    assert look(tmp_path).notes == (
        f"{file} ({tool}) is not read: what it builds goes into images.yaml, and what it applies below `apply`",
    )


def test_hosts_and_ports_of_another_form_are_left_out(tmp_path: Path) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, ports: PORTS}}"
    for ports in ("[]", "[{port: .inf}]"):
        write(tmp_path, **{"k8s/b.yaml": service.replace("PORTS", ports)})
        assert look(tmp_path).fronts == ()
    rules = "[{host: 1}, {host: web.shop.localhost}]"
    ingress = f"{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: {{rules: {rules}}}}}"
    write(tmp_path, **{"k8s/c.yaml": ingress})
    assert look(tmp_path).hosts == ("web.shop.localhost",)
