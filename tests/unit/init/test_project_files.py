"""The files that are written: each can be read by what reads it, and they fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.resolve import load
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.images import images_yaml
from sandbox.init import project_files
from sandbox.init.detected import App, Findings, Front, Mount, label, labels
from sandbox.init.kubernetes_objects import manifest
from sandbox.kube import manifests
from tests.support.project_folder import write

WEB = App("web", "web", port=3000, environment={"A": "1"}, left_out=("volumes./x",))
DB = App("db", image="postgres:17", port=5432)


def written(folder: Path, findings: Findings) -> Path:
    return write(folder, project_files.files("shop", findings))


def objects(app: App, host: str | None = None) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(manifest(app, image="x", host=host, defined=set())))


def container(app: App) -> dict[str, Any]:
    (workload,) = (each for each in objects(app) if each["kind"] in ("Deployment", "Job"))
    result: dict[str, Any] = workload["spec"]["template"]["spec"]["containers"][0]
    return result


def test_programs_become_images_and_objects(tmp_path: Path) -> None:
    folder = written(tmp_path, Findings((WEB, DB)))
    spec = load(folder / "sandbox.yaml")
    assert (spec.base_domain, spec.push) == ("shop.sandbox.localhost", folder / "images.yaml")
    assert [str(entry.target) for entry in images_yaml.load(folder / "images.yaml")] == ["shop/web:dev"]
    everything = manifests.load(applied(spec.apply))
    assert [each["kind"] for each in everything] == ["Deployment", "Service", "Deployment", "Service", "Ingress"]
    assert everything[4]["metadata"]["name"] == "web"
    image = everything[2]["spec"]["template"]["spec"]["containers"][0]["image"]
    names = ImageNames(prefix="localhost:5003", url="").with_images(folder / "images.yaml")
    assert (brought := names.find(image)) and str(brought.target) == "shop/web:dev"
    assert (folder / "k8s/web.yaml").read_text().startswith("# Not in these objects: volumes./x.\n")
    named = project_files.files("shop", Findings((WEB,)), is_named=True)["sandbox.yaml"]
    assert "\nname: shop\n" in named and "domain" not in named
    assert project_files.files("shop", Findings()).keys() == {"sandbox.yaml"}


@pytest.mark.parametrize(
    ("project", "images", "target"),
    [("shop", ("localhost:5001/backend:2",), "backend:2"), ("localhost", (), "app:dev"), ("shop", (), "shop/app:dev")],
)
def test_image_is_called_as_the_manifests_or_after_the_project(project: str, images: Any, target: str) -> None:
    findings = Findings((App("app", "."),), items=("k8s/",) if images else (), images=images)
    assert f"as: {target}}}" in project_files.files(project, findings)["images.yaml"]


def test_existing_manifests_are_applied_and_name_the_images(tmp_path: Path) -> None:
    findings = Findings(
        (App("api", "api"),),
        items=("deploy/",),
        hosts=("api.shop.test", "www.shop.test"),
        images=("localhost:5004/team/api:7", "localhost:5004/tool:1", "nginx"),
        fronts=(Front("web", "default", 80),),
        needs_gateway_api=True,
    )
    folder = written(tmp_path, findings)
    assert yaml.safe_load((folder / "sandbox.yaml").read_text()) == {
        "apiVersion": "sandbox.dev/v1",
        "domain": "shop.test",
        "cluster": {"kubernetes": "v1.36"},
        "ingress": {"gateway_api": True},
        "push": "images.yaml",
        "apply": ["deploy/", "sandbox-ingress.yaml"],
    }
    assert [str(entry.target) for entry in images_yaml.load(folder / "images.yaml")] == ["team/api:7"]
    assert "#- {from: daemon, image: tool:1}" in (folder / "images.yaml").read_text()
    assert manifests.load([folder / "sandbox-ingress.yaml"])


@pytest.mark.parametrize(
    ("folder", "hosts", "project", "name"),
    [
        ("My Project!", (), "", "my-project"),
        ("Übung Nº3", (), "", "ubung-no3"),
        ("x", ("a.demo.sandbox.localhost", "b.demo.sandbox.localhost"), "other", "demo"),
        ("x", ("a.demo.sandbox.localhost", "b.other.sandbox.localhost"), "", "x"),
        ("x", (), "Composed", "composed"),
    ],
)
def test_name_is_that_of_hosts_compose_or_folder(folder: str, hosts: tuple[str, ...], project: str, name: str) -> None:
    assert project_files.name_of(folder, Findings(hosts=hosts, project=project)) == name


def test_names_that_up_would_not_connect_are_written_down(tmp_path: Path) -> None:
    apps = (App("vote", "vote"), App("cart", "src/cart", names=("gcr.io/x/cart",)), App("web", "web"))
    images = ("dockersamples/examplevotingapp_vote:1", "gcr.io/x/cart:v1", "redis:7")
    folder = written(tmp_path, Findings(apps, items=("k8s/",), images=images))
    names = [image.names for image in images_yaml.read(folder / "images.yaml").images]
    assert names == [("dockersamples/examplevotingapp_vote",), None]
    assert "#- {from: build, context: web, as: shop/web:dev}" in (folder / "images.yaml").read_text()
    brought = ImageNames(prefix="localhost:5001", url="").with_images(folder / "images.yaml")
    assert [str(one.target) for image in images if (one := brought.find(image))] == ["shop/vote:dev", "shop/cart:dev"]


def test_programs_built_alike_share_an_image(tmp_path: Path) -> None:
    findings = Findings((WEB, App("worker", "web", args=("work",)), App("other", "web", build={"target": "x"})))
    folder = written(tmp_path, findings)
    targets = [str(entry.target) for entry in images_yaml.load(folder / "images.yaml")]
    assert targets == ["shop/web:dev", "shop/other:dev"]
    assert "image: shop/web:dev" in (folder / "k8s/worker.yaml").read_text()


def test_dockerignore_names_what_is_written(tmp_path: Path) -> None:
    app = App("app", ".", build={"dockerfile": "sandbox-app.Dockerfile"}, recipe="FROM x\n")
    folder = written(tmp_path, Findings((app,), unfiltered=True))
    assert (folder / ".dockerignore").read_text() == "/images.lock.yaml\n/images.yaml\n/k8s\n/sandbox.yaml\n"
    assert (folder / "sandbox-app.Dockerfile").read_text() == "FROM x\n"


def test_shared_claims_and_files_are_defined_once(tmp_path: Path) -> None:
    key = Mount("/run/secrets/key", {"key": "k"}, single=True, name="key", secret=True)
    apps = [App(name, image="x", mounts=(key,), claims={"/data": "data"}) for name in ("a", "b")]
    folder = written(tmp_path, Findings(tuple(apps)))
    kinds = [each["kind"] for each in manifests.load([folder / "k8s"])]
    assert [kind for kind in kinds if kind not in ("Deployment", "Service")] == ["Secret", "PersistentVolumeClaim"]


def test_container_has_limits_and_the_user_of_its_service() -> None:
    app = App("a", image="x", user="5:6", resources={"limits": {"memory": "1Gi"}, "requests": {"memory": "0"}})
    requests, limits = {"cpu": "50m", "memory": "0"}, {"memory": "1Gi", "cpu": "2"}
    assert container(app)["resources"] == {"requests": requests, "limits": limits}
    assert container(app)["securityContext"] == {"runAsUser": 5, "runAsGroup": 6}


def test_ports_are_those_of_container_service_and_probe() -> None:
    (job,) = objects(App("a", image="x", port=80, once=True), "a.test")
    assert job["kind"] == "Job" and job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    app = App("a", image="x", port=443, more_ports=((53, "udp"),), aliases=("b",))
    deployment, service, alias, ingress = objects(app, "a.test")
    program = deployment["spec"]["template"]["spec"]["containers"][0]
    assert program["ports"] == [{"containerPort": 443}, {"containerPort": 53, "protocol": "UDP"}]
    assert program["readinessProbe"]["tcpSocket"] == {"port": 443}
    assert service["spec"]["ports"][1] == {"name": "udp-53", "port": 53, "protocol": "UDP"}
    assert (alias["metadata"]["name"], alias["spec"]) == ("b", service["spec"])
    assert ingress["spec"]["rules"][0]["host"] == "a.test"
    (_, headless) = objects(App("a", image="x"), "a.test")
    assert headless["spec"]["clusterIP"] == "None"
    checked = App("a", image="x", port=80, check=("a", "$$(B)"), environment={"B": "c"})
    probe = {"exec": {"command": ["a", "$$$$(B)"]}, "periodSeconds": 5, "timeoutSeconds": 30}
    assert container(checked)["readinessProbe"] == probe


def test_volumes_are_mounted_at_their_places() -> None:
    mounts = (
        Mount("/etc/a", {"x y": "1", "sub/b": "2"}),
        Mount("/run/secrets/key", {"key": "k"}, single=True, name="key", secret=True),
    )
    app = App("a", image="x", claims={"/data": "data"}, mounts=mounts)
    claim, files, secret, deployment, _ = objects(app)
    assert (claim["kind"], secret["stringData"]) == ("PersistentVolumeClaim", {"key": "k"})
    assert files["data"] == {"x_y": "1", "sub_b": "2"}
    pod = deployment["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["data", "a-files-1", "secret-key"]
    assert pod["volumes"][1]["configMap"]["items"] == [{"key": "x_y", "path": "x y"}, {"key": "sub_b", "path": "sub/b"}]
    mount = {"name": "secret-key", "mountPath": "/run/secrets/key", "subPath": "key"}
    assert pod["containers"][0]["volumeMounts"][2] == mount
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_programs_without_port_are_told_where_to_name_it() -> None:
    apps = (App("a", "."), App("b", image="x"), App("c", image="x", once=True), DB)
    assert list(project_files.without_port(apps)) == [
        ("a", "EXPOSE it in its Dockerfile"),
        ("b", "name it below `expose` of its service"),
    ]


@given(st.text(max_size=80))
def test_label_is_one_that_kubernetes_accepts(text: str) -> None:
    assert label(label(text)) == label(text) and 0 < len(label(text)) <= 40
    assert labels(["a", "A", "a_"]) == {"a": "a", "A": "a-2", "a_": "a-3"}
    assert len(set(labels([f"{'x' * 60}{end}" for end in "yz"]).values())) == 2


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_inline_yaml_is_read_as_it_was(value: Any) -> None:
    assert yaml.safe_load(project_files.inline({"key": value}))["key"] == value
