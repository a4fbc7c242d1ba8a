"""The files that are written: each can be read by what reads it, and they fit together."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.resolve import load
from sandbox.config.schema import Chart
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.init import project_files
from sandbox.init.detected import App, Found, Front, Mount, label
from sandbox.init.kubernetes_objects import RESTRICTED, manifest
from sandbox.init.project_files import without_port
from sandbox.kube import manifests
from tests.support.project_folder import look

WEB = App("web", "web", port=3000, environment={"A": "1"}, left_out=("volumes",))


DB = App("db", image="postgres:17", port=5432)


def written(folder: Path, found: Found, registry: int = 5001, https: tuple[str, ...] | None = None) -> Path:
    for path, text in project_files.files("shop", found, registry=registry, https=https).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_programs_become_images_and_objects(tmp_path: Path) -> None:
    folder = written(tmp_path, Found((WEB, DB)), registry=5003)
    spec = load(folder / "sandbox.yaml")
    assert (spec.name, spec.registry.port, spec.push) == ("shop", 5003, folder / "images.yaml")
    assert [str(entry.target) for entry in images_yaml.load(folder / "images.yaml")] == ["shop/web:dev"]
    objects = manifests.load(applied(spec.apply))
    assert [(each["kind"], each["metadata"]["name"]) for each in objects] == [
        ("Deployment", "db"),
        ("Service", "db"),
        ("Deployment", "web"),
        ("Service", "web"),
        ("Ingress", "web"),
    ]
    container = objects[2]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "localhost:5003/shop/web:dev"
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert "left out: volumes" in (folder / "k8s/web.yaml").read_text()


@pytest.mark.parametrize(
    ("dockerfile", "is_restricted"),
    [
        ("FROM a\nEXPOSE 8080\nUSER 1000\n", True),
        ("FROM a AS base\nUSER 65532:65532\nFROM base\nEXPOSE 8080\n", True),
        ("FROM a\nUSER 1000\nUSER 0\n", False),
        ("FROM a\nUSER node\n", False),
        ("FROM a\nEXPOSE 80\nUSER 1000\n", False),
        ("FROM a\n", False),
    ],
)
def test_objects_fit_a_namespace_with_quota_and_restricted_pods(
    tmp_path: Path, dockerfile: str, is_restricted: bool
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    text = project_files.files("shop", look(tmp_path), registry=5001, https=None)["k8s/app.yaml"]
    container = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container.get("securityContext", {}) == (RESTRICTED if is_restricted else {})
    assert ("no securityContext" in text) is not is_restricted


def test_existing_manifests_are_applied_and_name_the_images(tmp_path: Path) -> None:
    found = Found(
        (App("api", "api"),),
        manifests=("deploy/",),
        hosts=("api.shop.test", "www.shop.test"),
        images=("localhost:5004/team/api:7", "localhost:5004/tool:1", "nginx"),
    )
    folder = written(tmp_path, found, registry=project_files.registry_port(found))
    said = yaml.safe_load((folder / "sandbox.yaml").read_text())
    assert said == {
        "apiVersion": "sandbox.dev/v1",
        "name": "shop",
        "domain": "shop.test",
        "cluster": {"kubernetes": "v1.36"},
        "registry": {"port": 5004},
        "push": "images.yaml",
        "apply": ["deploy/"],
    }
    assert [str(entry.target) for entry in images_yaml.load(folder / "images.yaml")] == ["team/api:7"]
    assert "#- {from: daemon, image: tool:1}" in (folder / "images.yaml").read_text()


def test_single_program_is_the_image_that_manifests_name() -> None:
    found = Found((App("app", "."),), manifests=("k8s/",), images=("localhost:5001/backend:2",))
    assert "as: backend:2}" in project_files.files("shop", found, registry=5001, https=None)["images.yaml"]


def test_project_named_as_a_registry_is_in_no_image_s_name() -> None:
    files = project_files.files("localhost", Found((App("app", "."),)), registry=5001, https=None)
    assert "as: app:dev}" in files["images.yaml"]


def test_an_empty_folder_gets_a_spec_alone(tmp_path: Path) -> None:
    assert [path.name for path in written(tmp_path, Found()).iterdir()] == ["sandbox.yaml"]
    assert load(tmp_path / "sandbox.yaml").name == "shop"


def test_taken_ports_are_left_to_be_chosen(tmp_path: Path) -> None:
    assert load(written(tmp_path, Found(), https=("auto", "auto")) / "sandbox.yaml").edge.ports == ("auto", "auto")


@pytest.mark.parametrize(
    ("folder", "hosts", "name"),
    [
        ("My Project!", (), "my-project"),
        ("---", (), "app"),
        ("Übung Nº3", (), "ubung-no3"),
        ("straße", (), "strasse"),
        ("x" * 60, (), "x" * 40),
        ("x", ("a.demo.sandbox.localhost", "b.demo.sandbox.localhost"), "demo"),
        ("x", ("a.demo.sandbox.localhost", "b.other.sandbox.localhost"), "x"),
    ],
)
def test_the_name_is_the_hosts_or_the_folders(folder: str, hosts: tuple[str, ...], name: str) -> None:
    assert project_files.name_of(folder, Found(hosts=hosts)) == name


def test_folder_called_by_its_kind_has_the_name_above() -> None:
    assert [project_files.called(Path(one)) for one in ("/p/podinfo/kustomize", "/p/shop", "/k8s")] == [
        "podinfo",
        "shop",
        "k8s",
    ]


def test_choices_are_noted_at_the_top() -> None:
    text = project_files.files("shop", Found(notes=("c/ is left out",)), registry=5001, https=None)["sandbox.yaml"]
    assert text.splitlines()[1] == "# c/ is left out"


def test_a_chart_is_written_as_one(tmp_path: Path) -> None:
    folder = written(tmp_path, Found(manifests=({"chart": "charts/web", "release": "web", "values": ["a.yaml"]},)))
    chart = Chart(chart=folder / "charts/web", release="web", values=(folder / "a.yaml",))
    assert load(folder / "sandbox.yaml").apply == (chart,)


def test_names_that_up_would_not_connect_are_written_down(tmp_path: Path) -> None:
    apps = (App("vote", "vote"), App("cart", "src/cart", names=("gcr.io/x/cart",)), App("web", "web"))
    images = ("dockersamples/examplevotingapp_vote:1", "gcr.io/x/cart:v1", "redis:7")
    folder = written(tmp_path, Found(apps, manifests=("k8s/",), images=images))
    names = [one.names for one in images_yaml.read(folder / "images.yaml").images]
    assert names == [("dockersamples/examplevotingapp_vote",), None]
    found = ImageNames(prefix="localhost:5001", url="").with_images(folder / "images.yaml")
    assert [str(one.target) for image in images if (one := found.find(image))] == ["shop/vote:dev", "shop/cart:dev"]


def test_images_that_no_manifest_names_are_comments(tmp_path: Path) -> None:
    """A folder of the project has a Dockerfile that may not build any more, and nothing that is applied needs it."""
    apps = (App("web", "web"), App("php-redis", "php-redis"))
    found = Found(apps, manifests=("k8s/",), images=("ghcr.io/acme/web:1", "gcr.io/samples/gb-frontend:v5"))
    folder = written(tmp_path / "a", found)
    assert [str(one.target) for one in images_yaml.load(folder / "images.yaml")] == ["shop/web:dev"]
    assert "#- {from: build, context: php-redis, as: shop/php-redis:dev}" in (folder / "images.yaml").read_text()
    assert project_files.unnamed("shop", found) == {"php-redis": "shop/php-redis:dev"}
    none = written(tmp_path / "b", Found(apps[1:], manifests=("k8s/",), images=("redis:7",)))
    assert images_yaml.load(none / "images.yaml") == () and load(none / "sandbox.yaml").push is None
    assert project_files.unnamed("shop", Found(apps, manifests=("k8s/",))) == {}


def test_objects_are_written_for_a_program_that_nothing_runs(tmp_path: Path) -> None:
    """Only for the one of the project's own folder, with a port: any other may be a tool or left behind."""
    app, images = App("app", ".", port=5000), ("postgres:16",)
    (tmp_path / "a" / "k8s").mkdir(parents=True)
    folder = written(tmp_path / "a", Found((app, App("old", "old")), ("k8s/",), images=images, names=("db",)))
    assert load(folder / "sandbox.yaml").apply == (folder / "k8s", folder / project_files.OWN)
    assert "image: localhost:5001/shop/app:dev" in (folder / project_files.OWN).read_text()
    assert [str(one.target) for one in images_yaml.load(folder / "images.yaml")] == ["shop/app:dev"]
    for other in (
        Found((app,), ("k8s/",), images=images, names=("app",)),
        Found((App("app", "."),), ("k8s/",), images=images),
    ):
        assert project_files.own_program("shop", other) is None


def test_objects_of_a_lone_program_include_what_others_share(tmp_path: Path) -> None:
    key = Mount("/run/secrets/key", {"key": "k"}, single=True, name="key", secret=True)
    app = App("app", ".", port=5000, mounts=(key,), claims={"/data": "data"}, elsewhere=(key,))
    (tmp_path / "k8s").mkdir()
    folder = written(tmp_path, Found((app,), ("k8s/",), images=("postgres:16",), names=("db",)))
    kinds = {one["kind"] for one in manifests.load([folder / project_files.OWN])}
    assert kinds == {"Deployment", "Ingress", "PersistentVolumeClaim", "Secret", "Service"}


def test_program_of_the_projects_folder_is_called_after_it(tmp_path: Path) -> None:
    found = Found((App("app", "."),), ("k8s/",), images=("ghcr.io/acme/shop:6.1", "redis:7"))
    (tmp_path / "k8s").mkdir()
    text = (written(tmp_path, found) / "images.yaml").read_text()
    assert "{from: build, context: ., as: shop/app:dev, for: [ghcr.io/acme/shop]}" in text


@pytest.mark.parametrize(
    ("images", "image"),
    [
        (("ghcr.io/acme/web:1", "redis:7", "bitnami/postgresql:16"), "ghcr.io/acme/web"),
        (("acme/web@sha256:" + "0" * 64,), None),
        (("acme/web:1", "acme/worker:1"), None),
        (("nginx:1",), None),
        (("acme/backend:1",), None),
        (("acme/web:1", "localhost:5001/shop/web:1"), None),
    ],
)
def test_only_program_is_taken_for_the_only_unknown_image(images: tuple[str, ...], image: str | None) -> None:
    found = Found((App("backend", "backend"),), ("k8s/",), images=images)
    assert project_files.guessed(found, "shop") == image
    text = project_files.files("shop", found, registry=5001, https=None)["images.yaml"]
    assert (f"as: shop/backend:dev, for: [{image}]" in text) == (image is not None)


def test_how_a_program_is_built_is_in_images_yaml(tmp_path: Path) -> None:
    app = App("web", "web", build={"dockerfile": "dev.Dockerfile", "target": "dev", "args": {"A": "1"}})
    (entry,) = images_yaml.load(written(tmp_path, Found((app,))) / "images.yaml")
    assert isinstance(entry, FromBuild)
    assert (entry.dockerfile, entry.stage, entry.args) == ("dev.Dockerfile", "dev", (("A", "1"),))


def test_services_get_an_ingress_of_their_own(tmp_path: Path) -> None:
    found = Found(manifests=("k8s/",), fronts=(Front("web", "shop", 8080),))
    (tmp_path / "k8s").mkdir()
    spec = load(written(tmp_path, found) / "sandbox.yaml")
    (ingress,) = manifests.load(applied(spec.apply)[1:])
    assert ingress["spec"]["rules"][0]["host"] == "web.shop.sandbox.localhost"


def test_pod_runs_the_command_of_its_compose_service() -> None:
    app = App(
        "db", image="postgres:17", port=5432, command=("a",), args=("b", "c"), check=("pg_isready",), check_seconds=9
    )
    (deployment, _) = yaml.safe_load_all(
        project_files.files("shop", Found((app,)), registry=1, https=None)["k8s/db.yaml"]
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container["args"]) == (["a"], ["b", "c"])
    probe = {"exec": {"command": ["pg_isready"]}, "periodSeconds": 5, "timeoutSeconds": 9}
    assert container["readinessProbe"] == probe


# What a file system takes as a name, with what YAML makes something of more often than chance would have it.
NAMES = st.text(
    st.one_of(st.sampled_from("a ,:#{}[]'\"\n\r\t\x1b\u2028\\&*!|>%@`-?~=."), st.characters()), min_size=1
).map(lambda text: text.replace("/", "").replace("\0", "").encode("utf-8", "ignore").decode() or "a")


@pytest.mark.fault(43)
@given(folder=NAMES, context=NAMES, image=NAMES, host=NAMES, left_out=NAMES)
def test_odd_names_are_written_so_that_they_are_read(
    folder: str, context: str, image: str, host: str, left_out: str
) -> None:
    """Folders, compose paths and manifests with newlines, commas, quotes → files that load and say just that."""
    found = Found(
        (App("web", context, port=80, left_out=(left_out,)),),
        hosts=(f"{host}.{host}",),
        images=(f"localhost:5001/{image}",),
        notes=(f"{folder} is left out",),
    )
    with tempfile.TemporaryDirectory() as place:
        written(Path(place), found, registry=project_files.registry_port(found))
        spec = load(Path(place) / "sandbox.yaml")
        assert (spec.name, spec.registry.external, spec.push) == ("shop", None, Path(place, "images.yaml"))
        (entry,) = images_yaml.load(Path(place) / "images.yaml")
        assert isinstance(entry, FromBuild) and entry.context == Path(place) / context
        assert {one["metadata"]["name"] for one in manifests.load(applied(spec.apply))} == {"web"}


@pytest.mark.parametrize("folder", ["a, b", "x\nregistry: {external: evil}\ny", "'", "- a", "日本", "Café"])
def test_name_for_a_folder_is_a_name(folder: str) -> None:
    assert label(folder) == project_files.name_of(folder, Found())


def test_pod_has_the_volumes_of_its_compose_service() -> None:
    mounts = (Mount("/checks", {"a.sh": "true"}), Mount("/etc/a.conf", {"my.conf": "x"}, single=True))
    app = App("db", image="postgres:17", mounts=mounts, claims={"/data": "data"}, volumes=("data",))
    objects = list(yaml.safe_load_all(manifest(app, image="postgres:17", host=None)))
    assert [one["kind"] for one in objects] == [
        *("PersistentVolumeClaim", "ConfigMap", "ConfigMap"),
        *("Deployment", "Service"),
    ]
    spec = objects[-2]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["containers"][0]["volumeMounts"] == [
        {"name": "data", "mountPath": "/data"},
        {"name": "db-files-1", "mountPath": "/checks"},
        {"name": "db-files-2", "mountPath": "/etc/a.conf", "subPath": "my.conf"},
    ]
    assert [one["name"] for one in spec["template"]["spec"]["volumes"]] == ["data", "db-files-1", "db-files-2"]


def test_program_that_ends_is_a_job_and_has_no_service() -> None:
    (job,) = yaml.safe_load_all(manifest(App("move", image="x", port=80, once=True), image="x", host="a.b"))
    assert (job["kind"], job["spec"]["template"]["spec"]["restartPolicy"]) == ("Job", "OnFailure")
    assert "readinessProbe" not in job["spec"]["template"]["spec"]["containers"][0]


def test_files_of_several_lines_are_written_as_blocks() -> None:
    mount = Mount("/conf", {"a.conf": "server {\n  listen 80;\n}\n", "tab": "a:\n\tb\n", "crlf": "a\r\nb\r\n"})
    text = manifest(App("web", image="web", mounts=(mount,)), image="web", host=None)
    assert "  a.conf: |\n    server {\n      listen 80;\n    }\n" in text
    assert next(yaml.safe_load_all(text))["data"] == mount.files


def test_services_that_are_built_alike_have_one_image() -> None:
    """A site, its workers and its scheduler are often one program."""
    apps = [
        App("web", ".", port=80, names=("shop",)),
        App("worker", ".", names=("shop-worker",)),
        App("tool", ".", build={"target": "tool"}),
    ]
    made = project_files.files("shop", Found(tuple(apps)), registry=5001, https=None)
    built = yaml.safe_load(made["images.yaml"])["images"]
    assert [one["as"] for one in built] == ["shop/web:dev", "shop/tool:dev"]
    assert built[0]["for"] == ["shop", "shop-worker"]
    pods = [next(yaml.safe_load_all(made[f"k8s/{app.name}.yaml"])) for app in apps]
    images = [one["spec"]["template"]["spec"]["containers"][0]["image"].partition("/")[2] for one in pods]
    assert images == ["shop/web:dev", "shop/web:dev", "shop/tool:dev"]


@pytest.mark.parametrize(
    ("build", "built"), [({}, ["shop/web:dev"]), ({"target": "a"}, ["shop/web:dev", "shop/job:dev"])]
)
def test_image_that_manifests_name_is_built_by_one(build: dict[str, str], built: list[str]) -> None:
    """A site and its worker are built as the same image → `up` knows which one manifests mean."""
    apps = (App("web", ".", names=("acme/app",)), App("job", ".", names=("acme/app",), build=build))
    found = Found(apps, manifests=("k8s/",), images=("acme/app:1",))
    images = yaml.safe_load(project_files.files("shop", found, registry=5001, https=None)["images.yaml"])["images"]
    assert [one["as"] for one in images] == built
    assert [one.get("for") for one in images] == [["acme/app"], *[None] * (len(built) - 1)]


@pytest.mark.parametrize(("port", "protocol"), [(443, "HTTPS"), (9443, "HTTPS"), (80, None), (8443, None)])
def test_ingress_speaks_https_to_a_program_that_does(port: int, protocol: str | None) -> None:
    made = yaml.safe_load_all(manifest(App("web", image="web", port=port), image="web", host="web.shop.localhost"))
    ingress = next(one for one in made if one["kind"] == "Ingress")
    told = ingress["metadata"].get("annotations", {})
    assert told.get("nginx.ingress.kubernetes.io/backend-protocol") == protocol


def test_only_programs_that_serve_are_asked_for_a_port() -> None:
    programs = App("a", context="."), App("job", image="a", once=True), App("dns", image="a", more_ports=((53, "udp"),))
    assert dict(without_port((*programs, App("b", image="b"), App("c")))) == {
        "a": "EXPOSE it in its Dockerfile",
        "b": "name it below `expose` of its service",
    }
