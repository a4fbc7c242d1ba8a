"""What is found in folders as developers have them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.store import Store
from sandbox.errors import UsageError
from sandbox.images.sync_rules import SyncRule
from sandbox.init import detect
from sandbox.init.detected import App, Found


def look(folder: Path) -> Found:
    return detect.look(folder, Store(folder / "bundle"))


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
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {template: {spec: {containers: [{name: api, image: "localhost:5001/shop/api:1"}]}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api}
spec: {rules: [{host: api.shop.sandbox.localhost}]}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_notes_on_what_compose_writes_come_with_objects(tmp_path: Path) -> None:
    """Where manifests are applied, no secret is written and no profile's image is used."""
    text = """
services:
  my_web: {build: web, environment: {KEY: "${KEY}"}, secrets: [token]}
  debug: {image: busybox, profiles: [debug]}
  seed: {build: seed, profiles: [seed]}
secrets: {token: {file: token}}
"""
    write(tmp_path, token="t", web__Dockerfile="FROM scratch\n", seed__Dockerfile="FROM scratch\n")
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / ".env").write_text("KEY=secret\n")
    assert look(tmp_path).notes == (
        "compose.yaml: debug, seed left out, since only a profile starts them: add --profile debug --profile seed",
        "my_web is called my-web in the cluster: change what calls it (its code)",
        "values of .env of compose.yaml are in what is written: keep it out of git if they are secret",
        "the secrets of compose.yaml are in what is written: keep it out of git",
    )
    (tmp_path / "api.yaml").write_text(DEPLOYMENT)
    assert look(tmp_path).notes == (
        "compose.yaml: seed left out, since only a profile starts them: add --profile seed",
    )


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
    )
    assert look(tmp_path).apps == (App("app", ".", port=8080), App("my-app", "My_App"))


@pytest.mark.parametrize("build", ["/etc", "https://e.example/x.git", "{context: ., dockerfile_inline: FROM x}"])
def test_service_built_from_elsewhere_is_left_out_and_named(tmp_path: Path, build: str) -> None:
    write(tmp_path, **{"compose.yaml": f"services: {{web: {{build: {build}}}}}"})
    assert any(note.startswith("web is left out: it names no image") for note in look(tmp_path).notes)


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


@pytest.mark.parametrize("text", ["services: [", "[]", "services: []", "\x00"])
def test_a_compose_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, **{"compose.yaml": text})
    with pytest.raises(UsageError, match=r"compose\.yaml"):
        look(tmp_path)


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
        (("base", "overlays/prod"), "overlays/prod/"),
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


def test_remote_bases_and_components_are_omitted(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "far/kustomization.yaml": "resources: ['https://example.com/a.yaml']",
            "part/kustomization.yaml": "kind: Component\n",
            "k8s/a.yaml": DEPLOYMENT,
        },
    )
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes == ("far/ is left out: it fetches https://example.com/a.yaml",)


def test_kinds_that_nothing_defines_and_doubles_are_left_out(tmp_path: Path) -> None:
    own = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\n"
    write(tmp_path, **{"istio/a.yaml": own, "k8s/a.yaml": DEPLOYMENT, "release/all.yaml": DEPLOYMENT})
    write(tmp_path, **{"skaffold.yaml": "kind: Config\napiVersion: skaffold/v3\nmetadata: {name: x}\n"})
    found = look(tmp_path)
    assert found.manifests == ("k8s/",)
    assert found.notes[0].startswith("istio/ is left out, since nothing defines its kinds: Gateway")
    assert found.notes[1].startswith("release/ is left out")


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


@pytest.mark.parametrize(
    ("manifests", "items"),
    [
        ("manifests: {rawYaml: [k8s/*.yaml]}", ("k8s/",)),
        ("manifests: {rawYaml: ['k8s/**.yaml']}", ("k8s/",)),
        ("manifests: {rawYaml: ['k8s/a**', 'k**/b.yaml']}", ("k8s/a.yaml", "k8s/b.yaml")),
        ("manifests: {rawYaml: [k8s/a.yaml, k8s/a.yaml]}", ("k8s/a.yaml",)),
        ("deploy: {kubectl: {manifests: ['./k8s/**/*.yaml']}}", ("k8s/",)),
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
    assert "skaffold.yaml: its profiles gcb are left out" in found.notes


def test_a_compose_service_is_taken_with_what_it_runs(tmp_path: Path) -> None:
    text = """
services:
  db:
    image: postgres:17-alpine
    env_file: [db.env, {path: absent.env, required: false}]
    environment: {POSTGRES_DB: shop}
    command: postgres -c 'max_connections=50'
    healthcheck: {test: [CMD-SHELL, "pg_isready -U $$USER"]}
  job:
    build: {context: job, target: dev, args: [A=1, B, "C=${C}"]}
    entrypoint: [run, it]
    healthcheck: {disable: true}
    image: acme/job:1
  extra: {image: x, profiles: [debug]}
"""
    write(tmp_path, **{"compose.yaml": text, "db.env": "# no\nexport A='one two'\nB=3\nPOSTGRES_DB=x\n"})
    found = look(tmp_path)
    db, job = found.apps
    assert (db.port, db.args) == (5432, ("postgres", "-c", "max_connections=50"))
    assert db.environment == {"A": "one two", "B": "3", "POSTGRES_DB": "shop"}
    assert db.check == ("sh", "-c", "pg_isready -U $USER")
    assert (job.command, job.check, job.names) == (("run", "it"), (), ("acme/job:1",))
    assert (job.build, job.left_out) == ({"target": "dev", "args": {"A": "1"}}, ("build.args.B", "build.args.C"))
    assert found.notes == ("compose.yaml: extra left out, since only a profile starts them: add --profile debug",)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("timeout: 1m30s", 90), ("timeout: 2500ms", 5), ("timeout: 8.2s", 9), ("retries: 3", 30), ("timeout: soon", 30)],
)
def test_a_check_may_take_as_long_as_in_compose(tmp_path: Path, timeout: str, seconds: int) -> None:
    """A slow check that compose waits for would otherwise never be ready."""
    write(tmp_path, **{"compose.yaml": f"services: {{a: {{image: x, healthcheck: {{test: [CMD, b], {timeout}}}}}}}\n"})
    (app,) = look(tmp_path).apps
    assert (app.check, app.check_seconds) == (("b",), seconds)


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


def test_a_compose_service_has_its_variables_filled_in(tmp_path: Path) -> None:
    """As compose does: from .env, else from the default; what only the shell has stays out."""
    text = """\
services:
  db:
    image: "postgres:${VERSION:-17}"
    ports: ["${PORT-1}:${PORT-1}"]
    command: [sh, -c, "echo $$HOME"]
    environment: {A: "${A}", B: "${NONE:-b}", C: "${NONE}", D: "$A-$$", E: "${EMPTY:-e}", F: "${A:+f}", G: "${N:?no}"}
"""
    write(tmp_path, **{"compose.yaml": text, ".env": "A=1\nEMPTY=\nPORT=5444\n"})
    found = look(tmp_path)
    (db,) = found.apps
    assert "values of .env" in found.notes[0]
    assert (db.image, db.port, db.args) == ("postgres:17", 5444, ("sh", "-c", "echo $HOME"))
    assert db.environment == {"A": "1", "B": "b", "D": "1-$", "E": "e", "F": "f"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A:-${B:-x}}", "x"),
        ("${A:-${ONE:-x}y}z", "1yz"),
        ("${A-$ONE} ${A:-${ONE}-${B-}}", "1 1-"),
        ("${ONE:+${A:-set}}${A:+no}", "set"),
        ("${ONE:-${A}}", "1"),
        ("${A:-$${B}}", "${B}"),
        ("${ONE?no ${A}}", "1"),
        ("$PAID-${PAID}", "a$b$$-a$b$$"),
        ("${A:-${B}}", None),
        ("${A:?no ${ONE}}", None),
        ("${ONE", None),
        ("${ONE!}", None),
        ("${A:-" * 40 + "}" * 40, None),
        ("${A:-" * 100_000, None),
    ],
)
def test_variables_of_compose_files_may_be_nested(tmp_path: Path, text: str, value: str | None) -> None:
    """Defaults have variables with defaults, as for compose; what has no value, or no end, stays out."""
    compose_text = json.dumps({"services": {"a": {"image": "x", "environment": {"V": text}}}})
    write(tmp_path, **{"compose.yaml": compose_text, ".env": "ONE=1\nPAID='a$b$$'\n"})
    (app,) = look(tmp_path).apps
    assert app.environment.get("V") == value


STAGES = "FROM python AS base\nRUN pip\nFROM base AS dev\nCMD x\nFROM base AS final\nCOPY --chown=1 . .\nCMD y\n"


def test_volumes_of_a_compose_service_are_told_apart(tmp_path: Path) -> None:
    text = """\
services:
  web:
    build: {context: web, target: dev}
    volumes: ["./web:/usr/src/app", "/usr/src/app/node_modules"]
  db:
    image: postgres:17
    volumes:
    - data:/var/lib/postgresql/data
    - {type: bind, source: ./checks, target: /checks}
    - ./init.sql:/docker-entrypoint-initdb.d/init.sql:ro
    - /var/run/docker.sock:/sock
    - ./absent.conf:/etc/absent.conf
  copy: {image: postgres:17, volumes: ["data:/data"]}
"""
    write(tmp_path, web__Dockerfile=STAGES, **{"compose.yaml": text, "checks/a.sh": "true\n", "init.sql": "select 1\n"})
    found = look(tmp_path)
    web, db, copy = found.apps
    assert web.build == {"sync": [{"paths": {".": "/usr/src/app"}}]} and not web.left_out
    assert found.notes == ("the stage dev of web is left out: its code comes from a volume",)
    assert (db.claims, db.volumes) == ({"/var/lib/postgresql/data": "data"}, ("data",))
    assert (copy.claims, copy.volumes) == ({"/data": "data"}, ())
    checks, init = db.mounts
    assert (checks.place, checks.files, checks.single) == ("/checks", {"a.sh": "true\n"}, False)
    assert (init.place, init.files, init.single) == (
        "/docker-entrypoint-initdb.d/init.sql",
        {"init.sql": "select 1\n"},
        True,
    )
    assert db.left_out == ("volumes./var/run/docker.sock", "volumes.absent.conf")


def test_stage_that_has_the_code_is_built(tmp_path: Path) -> None:
    text = "services: {web: {build: {context: web, target: final}, volumes: ['./web/src:/app/src']}}"
    write(tmp_path, web__Dockerfile=STAGES, **{"compose.yaml": text, "web/src/a.py": ""})
    (web,) = look(tmp_path).apps
    assert web.build == {"target": "final", "sync": [{"paths": {"src": "/app/src"}}]}


def test_service_that_others_wait_for_to_end_runs_once(tmp_path: Path) -> None:
    text = """\
services:
  move: {image: tool}
  web: {image: web, depends_on: {move: {condition: service_completed_successfully}, db: {condition: service_healthy}}}
  db: {image: postgres}
"""
    write(tmp_path, **{"compose.yaml": text})
    assert [app.once for app in look(tmp_path).apps] == [True, False, False]


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
    assert not any("parts/" in note for note in found.notes)


def test_manifests_above_a_kustomization_are_named(tmp_path: Path) -> None:
    write(tmp_path, **{"deploy__web.yaml": DEPLOYMENT, "deploy__k__kustomization.yaml": "resources: [a.yaml]\n"})
    write(tmp_path, **{"deploy__k__a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
    found = look(tmp_path)
    assert found.manifests == ("deploy/k/",)
    assert "deploy/web.yaml is left out, since the kustomization does not name it" in found.notes


def test_chart_without_its_dependencies_is_named(tmp_path: Path) -> None:
    needs = "name: web\ndependencies: [{name: redis}, {name: common}, {name: db}]\n"
    packed = {"charts/common/Chart.yaml": "type: library\n", "charts/db-1.2.3.tgz": ""}
    write(tmp_path, **{"Chart.yaml": needs, "templates/a.yaml": "{{ x }}", **packed})
    assert "./ is a chart without redis in its charts/: helm dependency build ./" in look(tmp_path).notes


HELMFILE = """\
repositories:
- {name: bitnami, url: https://charts.bitnami.com/bitnami/}
- {name: ghcr, url: ghcr.io/acme/charts, oci: true}
releases:
- name: web
  namespace: shop
  chart: ./charts/web
  values: [values/web.yaml, {image: {tag: "1"}, hosts: [a, {b: 2}], "x.y": true}, absent.yaml]
  set: [{name: debug, value: true}]
- {name: cache, chart: bitnami/redis, version: 19.0.1}
- {name: info, chart: ghcr/info, version: 6.9.0}
- {name: loose, chart: bitnami/nginx, version: ~15.0}
- {name: off, chart: bitnami/kafka, version: 1.0.0, installed: false}
"""


def test_releases_of_a_helmfile_are_taken(tmp_path: Path) -> None:
    write(tmp_path, **CHART, **{"helmfile.yaml": HELMFILE, "values/web.yaml": "a: 1\n"})
    found = look(tmp_path)
    assert found.manifests == (
        {
            "chart": "charts/web",
            "release": "web",
            "namespace": "shop",
            "values": ["values/web.yaml"],
            "set": {"image.tag": "1", "hosts[0]": "a", "hosts[1].b": 2, "x\\.y": True, "debug": True},
        },
        {"chart": "redis", "repo": "https://charts.bitnami.com/bitnami", "version": "19.0.1", "release": "cache"},
        {"chart": "oci://ghcr.io/acme/charts/info", "version": "6.9.0", "release": "info"},
    )
    assert [note for note in found.notes if "release" in note] == [
        "of the release web the values absent.yaml are left out",
        "the release loose is left out: its chart bitnami/nginx has no folder or one version",
    ]


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


def test_helmfile_with_templates_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"helmfile.yaml": "releases:\n- name: {{ .Environment.Name }}\n"})
    assert look(tmp_path).notes[0].startswith("helmfile.yaml is left out")


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
    assert found.notes == (
        "src/api/skaffold.yaml: what it requires from elsewhere is left out",
        "src/api/skaffold.yaml: its profiles prod are left out",
    )


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


RELEASE = {"chart": "charts/web", "release": "a"}


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


@pytest.mark.parametrize(
    ("said", "more"), [("v.yaml", {"values": ["v.yaml"]}), ("{b: 1}", {"set": {"b": 1}}), ("7", {})]
)
def test_values_of_a_helmfile_need_not_be_a_list(tmp_path: Path, said: str, more: dict[str, Any]) -> None:
    text = f"releases: [{{name: a, chart: ./charts/web, values: {said}}}]\n"
    write(tmp_path, **CHART, **{"helmfile.yaml": text, "v.yaml": "a: 1\n"})
    assert look(tmp_path).manifests == ({**RELEASE, **more},)


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
        (
            "helmfile.yaml",
            f"releases: [{{name: a, chart: {LONG}}}, {{name: b, chart: ./charts/web, values: [{LONG}]}}]",
        ),
        ("over/kustomization.yaml", f"resources: [{LONG}]"),
    ],
)
def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path, **CHART, **{file: text})
    assert LONG not in repr(look(tmp_path).manifests)


def test_hosts_and_ports_of_another_form_are_left_out(tmp_path: Path) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, ports: PORTS}}"
    for ports in ("[]", "[{port: .inf}]"):
        write(tmp_path, **{"k8s/b.yaml": service.replace("PORTS", ports)})
        assert look(tmp_path).fronts == ()
    rules = "[{host: 1}, {host: web.shop.localhost}]"
    ingress = f"{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: {{rules: {rules}}}}}"
    write(tmp_path, **{"k8s/c.yaml": ingress})
    assert look(tmp_path).hosts == ("web.shop.localhost",)
