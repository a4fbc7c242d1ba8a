"""What is found in folders as developers have them, in their Dockerfiles, and among their Services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart
from sandbox.errors import UsageError
from sandbox.init import dockerfile, kubernetes_objects
from sandbox.init.detected import App, Findings, Front
from tests.support.project_folder import DEPLOYMENT, look, write

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 8080}]}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec: {containers: [{name: a, image: acme/NAME}]}\n"


def named(text: str, name: str) -> str:
    return text.replace("NAME", name).replace("name: api}", f"name: {name}}}")


def test_dockerfiles_are_found_below_but_not_in_tool_folders(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM x\nexpose 8080/tcp\n", "My_App/Containerfile": "FROM x\n"}
    write(tmp_path, {**files, "node_modules/a/Dockerfile": "FROM x\n", "tilt_modules/a.yaml": DEPLOYMENT})
    findings = look(tmp_path)
    other = App("my-app", "My_App", build={"dockerfile": "Containerfile"})
    assert findings.apps == (App("app", ".", port=8080), other)
    assert not findings.items and findings.unfiltered
    write(tmp_path, {".dockerignore": "", "My_App/Dockerfile.dev": "FROM y\n", "web/Dockerfile.dev": "FROM x\n"})
    findings = look(tmp_path)
    assert not findings.unfiltered
    assert findings.apps[1:] == (other, App("web", "web", build={"dockerfile": "Dockerfile.dev"}))


def test_dockerfile_named_for_an_image_of_the_manifests_is_built(tmp_path: Path) -> None:
    files = {"deploy/api.dockerfile": "FROM x\n", "Dockerfile.other": "FROM x\n", "Dockerfile.api.dockerignore": ""}
    note = "no image of a manifest has such a name; images.yaml can name it with `dockerfile:`"
    assert look(write(tmp_path, files)).notes == (f"Dockerfile.other, deploy/api.dockerfile: {note}",)
    write(tmp_path, {"k8s/a.yaml": named(POD, "shop-api")})
    assert look(tmp_path).apps == (App("api", "deploy", build={"dockerfile": "api.dockerfile"}),)


def test_dockerfile_that_copies_from_the_project_is_built_there(tmp_path: Path) -> None:
    files = {"services/api/Dockerfile": "FROM x\nCOPY services/api/a lib /www/\n", "services/api/a": "", "lib/a": ""}
    findings = look(write(tmp_path, files))
    assert findings.apps == (App("api", ".", build={"dockerfile": "services/api/Dockerfile"}),)
    assert findings.notes == ("services/api/Dockerfile is built from this folder, which has what it copies",)
    assert not look(write(tmp_path, {"compose.yaml": "services: {web: {image: x}}"})).notes


def test_folder_that_may_not_be_read_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"app/Dockerfile": "FROM x", "pgdata/Dockerfile": "FROM x"})
    real = Path.iterdir

    def refuse(place: Path) -> object:
        if place.name == "pgdata":
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert [app.name for app in look(tmp_path).apps][:1] == ["app"]


def test_compose_file_goes_before_dockerfiles(tmp_path: Path) -> None:
    text = "name: shop\nservices: {web: {build: web}, worker: {build: web, command: work}, db: {image: postgres}}"
    findings = look(write(tmp_path, {"web/Dockerfile": "EXPOSE 81\n", "compose.yaml": text}))
    assert findings.project == "shop"
    assert findings.apps == (
        App("web", "web", port=81),
        # It may never listen there.
        App("worker", "web", more_ports=((81, "tcp"),), args=("work",)),
        App("db", image="postgres", port=5432),
    )


def test_unknown_profile_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": "services: {web: {image: x, profiles: [dev]}}"})
    with pytest.raises(UsageError, match="no profile test") as caught:
        look(tmp_path, ["test"])
    assert caught.value.details == "profiles: dev"
    assert [app.name for app in look(tmp_path, ["*"]).apps] == ["web"]


@pytest.mark.parametrize(("kind", "items"), [("kind: CronJob", ()), ("kind: StatefulSet", ("k8s/",))])
def test_manifests_that_run_nothing_do_not_replace_a_compose_file(
    tmp_path: Path, kind: str, items: tuple[str, ...]
) -> None:
    manifest = DEPLOYMENT.partition("---")[0].replace("kind: Deployment", kind)
    text = "services: {web: {build: {context: web, target: dev}}, db: {image: postgres}}"
    findings = look(write(tmp_path, {"k8s/a.yaml": manifest, "web/Dockerfile": "FROM x", "compose.yaml": text}))
    assert findings.items == items
    assert [app.name for app in findings.apps] == (["web"] if items else ["web", "db"])
    assert findings.apps[0].build == ({} if items else {"target": "dev"})
    assert any(note.startswith("the manifests are left out: no program") for note in findings.notes) is not bool(items)


def test_files_of_tools_below_are_named_if_nothing_else_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"docker/compose.yml": "services: {web: {image: x}}", ".devcontainer/compose.yaml": ""})
    note = "is not read: run `sandbox init` in that folder, if all that it builds is in it"
    assert look(tmp_path) == Findings(notes=(f".devcontainer/compose.yaml {note}", f"docker/compose.yml {note}"))
    write(tmp_path, {"compose.yaml": "services: {web: {build: web}}", "k8s/README.md": ""})
    note = "is missing in this folder: add it, or fetch the submodule that has it, before `sandbox up`"
    assert look(tmp_path).notes == (f"web/Dockerfile {note}",)
    assert look(tmp_path).objects == "k8s"
    assert look(write(tmp_path, {"k8s/x.yml": "services: {}"})).objects == "sandbox-k8s"


def test_files_of_other_tools_are_named(tmp_path: Path) -> None:
    first, second = look(write(tmp_path, {"garden.yml": "", "devspace.yaml": ""})).notes
    assert first.startswith("devspace.yaml (DevSpace) is not read: write what it builds into images.yaml")
    assert second.startswith("garden.yml (Garden) is not read")


def test_other_sandboxes_below_are_left_out_and_named(tmp_path: Path) -> None:
    for name in ("a", "more/b"):
        write(tmp_path / name, {"sandbox.yaml": "", "Dockerfile": "FROM x\n", "k8s/a.yaml": DEPLOYMENT})
    findings = look(write(tmp_path, {"c/Dockerfile": "FROM x\n"}))
    assert findings.apps == (App("c", "c"),) and not findings.items
    assert findings.notes == ("left out: a/, more/b/ (other sandboxes: sandbox up -f a/sandbox.yaml)",)


def test_manifest_folders_are_the_largest_with_nothing_else(tmp_path: Path) -> None:
    files = {"deploy/k8s/api/api.yaml": DEPLOYMENT, "deploy/values.yaml": "a: 1", "ci.yml": "on: push"}
    findings = look(write(tmp_path, {**files, "top.yaml": named(DEPLOYMENT, "top")}))
    assert findings.items == ("deploy/k8s/", "top.yaml")
    assert findings.hosts == ("api.shop.sandbox.localhost",)
    assert findings.images == ("localhost:5001/shop/api:1",)


def test_manifests_that_are_not_yaml_are_noted(tmp_path: Path) -> None:
    broken = DEPLOYMENT.replace("metadata:", "\tmetadata:", 1)
    write(tmp_path, {"a.yaml": broken, "k8s/b.yaml": broken, "mkdocs.yml": "a: !!python/name:b\n"})
    findings = look(write(tmp_path, {"skaffold.yaml": "apiVersion: skaffold/v4beta1\nbuild: [\n"}))
    starts = ("left out: k8s/b.yaml (line ", "left out: a.yaml (line ", "left out: skaffold.yaml (line ")
    assert all(note.startswith(start) for note, start in zip(findings.notes, starts, strict=True))
    template = "{{ if .Values.late }}\nkind: Pod\n{{ end }}\n"
    write(tmp_path / "other", {"k8s/api.yaml": DEPLOYMENT, "k8s/late.yaml": template})
    assert look(tmp_path / "other").notes == ("left out: k8s/ (k8s/late.yaml is not valid YAML)",)


def test_manifests_that_repeat_others_are_left_out(tmp_path: Path) -> None:
    files = {"k8s/shop.yaml": named(DEPLOYMENT, "a") + "---\n" + named(POD, "b"), "k8s/shop-db.yaml": named(POD, "b")}
    findings = look(write(tmp_path, {**files, "k8s/web.yaml": named(POD, "web")}))
    assert findings.items == ("k8s/shop.yaml", "k8s/web.yaml")
    assert "left out: k8s/shop-db.yaml (it repeats Pod b of another file)" in findings.notes


UNKNOWN = "apiVersion: acme.io/v1\nkind: Shop\nmetadata: {name: a}\n"
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.acme.io}
spec: {group: acme.io, names: {kind: Shop}}
"""


def test_manifests_of_unknown_kinds_are_left_out(tmp_path: Path) -> None:
    findings = look(write(tmp_path, {"k8s/a.yaml": named(DEPLOYMENT, "a"), "k8s/shop.yaml": UNKNOWN}))
    assert findings.items == ("k8s/a.yaml",)
    assert findings.notes == ("left out: k8s/shop.yaml (nothing defines its kinds: Shop (acme.io/v1))",)
    assert look(write(tmp_path, {"crd.yaml": DEFINITION})).items == ("k8s/", "crd.yaml")


def test_routes_of_the_gateway_api_ask_for_it(tmp_path: Path) -> None:
    route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n"
    assert look(write(tmp_path, {"k8s/a.yaml": route})).needs_gateway_api


def test_single_service_gets_an_ingress(tmp_path: Path) -> None:
    findings = look(write(tmp_path, {"k8s/a.yaml": named(SERVICE, "shop")}))
    assert findings.fronts == (Front("shop", "default", 8080),)
    assert findings.notes == ("no manifest is an Ingress; sandbox-ingress.yaml has one for shop",)
    findings = look(write(tmp_path, {"k8s/b.yaml": named(SERVICE, "other")}))
    assert findings.fronts == ()
    assert findings.notes[0].startswith("no manifest is an Ingress, and which Service is a page is unknown")


@pytest.mark.parametrize(
    ("folders", "items"),
    [
        (("kustomize",), ("kustomize/",)),
        (("base", "overlays/prod", "overlays/dev"), ("overlays/dev/",)),
        (("base", "overlays/prod", "overlays/staging"), ("base/",)),
        (("api/base", "api/dev", "web/base", "web/dev", "web/prod"), ("api/dev/", "web/dev/")),
    ],
)
def test_overlay_for_development_is_applied(tmp_path: Path, folders: tuple[str, ...], items: tuple[str, ...]) -> None:
    for folder in folders:
        above, _, name = folder.rpartition("/")
        base = {"overlays": "../../base", "api": "../base", "web": "../base"}.get(above) if name != "base" else None
        text = f"resources: [{base or 'a.yaml'}]"
        write(tmp_path, {f"{folder}/kustomization.yaml": text, f"{folder}/a.yaml": named(POD, "api")})
    assert look(tmp_path).items == items


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("resources: ['https://example.com/a.yaml']", "it downloads https://example.com/a.yaml"),
        ("resources: [../../outside.yaml]", "it reads ../outside.yaml, which is not in this folder"),
    ],
)
def test_kustomization_with_parts_from_elsewhere_is_left_out(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, {"outside.yaml": DEPLOYMENT, "root/k/kustomization.yaml": text})
    assert look(tmp_path / "root").notes == (f"k/ is left out: {reason}",)


CHART = {"charts/web/Chart.yaml": "name: x", "charts/web/templates/a.yaml": "{{ x }}"}
PARTS = {"charts/lib/Chart.yaml": "type: library", "charts/web/charts/sub/Chart.yaml": "name: sub"}


def test_charts_are_applied_where_nothing_else_is(tmp_path: Path) -> None:
    assert look(write(tmp_path, {**CHART, **PARTS})).items == ({"chart": "charts/web", "release": "web"},)
    findings = look(write(tmp_path, {"k8s/a.yaml": DEPLOYMENT}))
    assert findings.items == ("k8s/",)
    start = "left out: charts/web/ (charts, of which helm renders nothing here, and the manifests are applied"
    assert any(note.startswith(start) for note in findings.notes)


def test_chart_that_another_has_as_a_part_is_left_out(tmp_path: Path) -> None:
    whole = "name: shop\ndependencies: [{name: x, version: 1.0.0, repository: 'file://../web'}]\n"
    more = {"charts/shop/Chart.yaml": whole, "api/chart/Chart.yaml": "name: y", "mail/chart/Chart.yaml": "name: y"}
    assert look(write(tmp_path, {**CHART, **more})).items == (
        {"chart": "api/chart", "release": "api"},
        {"chart": "charts/shop", "release": "shop"},
        {"chart": "mail/chart", "release": "mail"},
    )


@pytest.mark.parametrize(("running", "item"), [(2, {"chart": "charts/web", "release": "web"}), (1, "k8s/")])
def test_charts_are_applied_if_they_run_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: int, item: object
) -> None:
    class OneHelm:
        def render(self, chart: Chart, *, whole: bool) -> list[object]:
            pod = {"containers": [{"name": "a", "image": "acme/web"}]}
            return [
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": pod}
                for number in range(running)
            ]

    monkeypatch.setattr(Helm, "find", lambda store: OneHelm())
    assert look(write(tmp_path, {**CHART, "k8s/a.yaml": DEPLOYMENT})).items == (item,)


def test_file_of_a_tool_says_what_is_built_and_applied(tmp_path: Path) -> None:
    text = (
        "apiVersion: skaffold/v4beta1\nbuild: {artifacts: [{image: shop/api, context: api}]}\n"
        "manifests: {rawYaml: [k8s/a.yaml]}\n"
    )
    files = {"api/Dockerfile": "EXPOSE 80", "other/Dockerfile": "", "k8s/a.yaml": DEPLOYMENT, "b.yaml": DEPLOYMENT}
    findings = look(write(tmp_path, {**files, "skaffold.yaml": text}))
    assert findings.apps == (App("api", "api", port=80, names=("shop/api",)),)
    assert findings.items == ("k8s/a.yaml",)


def service(name: str, port: Any = 80, **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}], **spec}}


@pytest.mark.parametrize(
    ("objects", "pages"),
    [
        ((service("shop", type="LoadBalancer"), service("node", type="NodePort"), service("web")), ["shop", "node"]),
        ((service("api"), service("web")), ["web"]),
        ((service("api", 8080),), ["api"]),
        ((service("api", 8080), service("shop", 443)), ["shop"]),
        ((service("a", 80), service("b", 80)), []),
        ((service("web", 5432),), []),
        ((service("web", "http"),), []),
        ((service("Web", type="NodePort"),), []),
        ((service("web", clusterIP="None"),), []),
        ((service("web"), {"kind": "HTTPRoute", "metadata": {"name": "x"}}), []),
        ((service("web"), {"kind": "Ingress", "metadata": {"name": "x"}}), []),
    ],
)
def test_services_that_are_pages_get_an_ingress_if_no_other_leads_to_them(
    objects: tuple[dict[str, Any], ...], pages: list[str]
) -> None:
    assert [front.name for front in kubernetes_objects.fronts(objects)] == pages


def test_ingress_leads_to_the_service_in_its_namespace() -> None:
    text = kubernetes_objects.ingresses(
        [Front("web", "shop", 8080), Front("api", "default", 80)], "x.sandbox.localhost"
    )
    first, second = yaml.safe_load_all(text)
    assert (first["metadata"], second["metadata"]["name"]) == ({"name": "web", "namespace": "shop"}, "api")
    rule = first["spec"]["rules"][0]
    assert rule["host"] == first["spec"]["tls"][0]["hosts"][0] == "web.x.sandbox.localhost"
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "web", "port": {"number": 8080}}}


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("FROM a\nexpose 8080/tcp 9", 8080),
        ("EXPOSE 53/udp 54", 54),
        ("EXPOSE 53/udp\nEXPOSE 9000-9010/TCP", 9000),
        ("ENV A=1 PORT='3001'\nEXPOSE ${PORT}/tcp", 3001),
        ("ARG PORT\nEXPOSE ${PORT:-3003}", 3003),
        ("EXPOSE 0 70000\n# EXPOSE 80", None),
        ("ENV PORT=3004", 3004),
        ("ENV DB_PORT=5432", None),
    ],
)
def test_port_is_the_first_exposed_one_or_the_variable_port(text: str, port: int | None) -> None:
    assert dockerfile.port(text) == port


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY services/api/ /app", ["services/api"]),
        ('ADD ["my files", "b.txt", "/x/"]', ["my files", "b.txt"]),
        ("COPY a \\\r\n  b /x/\r\n", ["a", "b"]),
        ("COPY --from=build /out /x", []),
        ("COPY $DIR *.txt https://example.com/x ../y <<EOF /x/", []),
    ],
)
def test_sources_are_the_copied_files_of_the_context(text: str, sources: list[str]) -> None:
    assert list(dockerfile.sources(text)) == sources


STAGES = """\
ARG WEB=8080
FROM node AS base
FROM base AS dev
EXPOSE 3000
FROM base AS server
EXPOSE $WEB
FROM nginx
"""


@pytest.mark.parametrize(("stage", "port"), [("base", None), ("DEV", 3000), ("server", 8080), (None, None)])
def test_stage_has_the_instructions_of_its_bases(stage: str | None, port: int | None) -> None:
    assert dockerfile.port(STAGES, stage) == port
