"""minikube's ingress addon as what answers for a sandbox: configured unasked, and asked by HTTPS through the edge.

Its images are in no package registry. Where a user has built them, a folder holds them as archives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.ingress import https_probe
from sandbox.components.ingress.served_hosts import PASSTHROUGH
from sandbox.engine import labelled
from sandbox.system.wait import wait_until
from tests.real import machine, minikube
from tests.real.changing import Changing
from tests.real.minikube import own

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-minikube-ingress"
DOMAIN = f"{NAME}.sandbox.localhost"
HOST = f"hello.{DOMAIN}"
CONTROLLER, CERTGEN = "ingress-nginx/controller:v1.14.3", "ingress-nginx/kube-webhook-certgen:v1.6.7"
IMAGES = {"IngressController": CONTROLLER, "KubeWebhookCertgenCreate": CERTGEN, "KubeWebhookCertgenPatch": CERTGEN}
SERVER = "mkdir /tmp/w; echo it is busybox > /tmp/w/index.html; exec busybox httpd -f -p 8080 -h /tmp/w"


def application(image: str) -> list[dict[str, Any]]:
    labels = {"app": "hello"}
    container = {"name": "hello", "image": image, "command": ["busybox", "sh", "-c", SERVER]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    backend = {"service": {"name": "hello", "port": {"number": 80}}}
    rule = {"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    place = {"name": "hello", "namespace": "default"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": place,
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": [HOST]}], "rules": [rule]},
        },
    ]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    engine, folder = machine.engine(), tmp_path_factory.mktemp("minikube-ingress")
    variables = minikube.variables(engine, folder / "home")
    port, registry = machine.free_ports(9474, 5074)
    busybox = str(Store(context.home().bundle).image(recipes()["busybox"]))
    (folder / "images.yaml").write_text(
        yaml.safe_dump({"images": [{"from": "archive", "path": busybox, "as": "busybox:1"}]})
    )
    (folder / "app.yaml").write_text(yaml.safe_dump_all(application(f"localhost:{registry}/busybox:1")))
    made = Changing.on_minikube(NAME, folder, registry=registry, port=port, env=variables)
    try:
        made.up()
        yield made
    finally:
        made.run("down", NAME, "--purge", status=None)


@pytest.fixture(scope="module")
def addon(sandbox: Changing) -> Mapping[str, Any]:
    """The addon with its images in the sandbox's registry, and what is to be answered by it."""
    archives = {CONTROLLER: "ingress-nginx-controller", CERTGEN: "kube-webhook-certgen"}
    images = yaml.safe_load((sandbox.folder / "images.yaml").read_text())["images"]
    images += [
        {"from": "archive", "path": str(minikube.archive(name)), "as": image} for image, name in archives.items()
    ]
    (sandbox.folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    return {"addons": [own("ingress", sandbox.spec["registry"]["port"], **IMAGES)], "apply": ["app.yaml"]}


def ask(sandbox: Changing, host: str) -> https_probe.Answer:
    port = sandbox.spec["edge"]["ports"][0]
    return https_probe.ask(host, address="127.0.0.1", port=port, root=sandbox.names.root_certificate)


def test_unavailable_images_are_named_and_addon_is_removed(sandbox: Changing) -> None:
    missing = own("ingress", sandbox.spec["registry"]["port"], **dict.fromkeys(IMAGES, "not/there:1"))
    (sandbox.folder / "sandbox.yaml").write_text(yaml.safe_dump({**sandbox.spec, "addons": [missing]}))
    said = sandbox.run("up", status=1).err
    assert "cannot pull an image of minikube's addon 'ingress', which was not enabled" in said
    assert f"localhost:{sandbox.spec['registry']['port']}/not/there:1: " in said and "sandbox push-images" in said
    assert sandbox.addons()["ingress"][0] == "off"
    assert "ingress-nginx" not in sandbox.kubectl("get", "validatingwebhookconfigurations,deployments", "-A")


def test_passthrough_is_refused_with_the_reason(sandbox: Changing) -> None:
    (deployment, service, ingress) = application("none")
    ingress["metadata"] |= {"annotations": {PASSTHROUGH: "true"}}
    (sandbox.folder / "passed.yaml").write_text(yaml.safe_dump_all([deployment, service, ingress]))
    spec = {**sandbox.spec, "addons": ["ingress"], "apply": ["passed.yaml"]}
    (sandbox.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    assert "minikube starts its controller without --enable-ssl-passthrough" in sandbox.run("up", status=2).err


def test_hosts_answer_through_edge_with_sandbox_certificate(sandbox: Changing, addon: Mapping[str, Any]) -> None:
    assert "Addons of minikube" in sandbox.up(**addon)
    assert sandbox.addons()["ingress"] == ("ready", "spec")
    answer = ask(sandbox, HOST)
    assert (answer.status, "it is busybox" in answer.page) == (200, True), answer
    nosuch = ask(sandbox, f"nosuch.{DOMAIN}")
    assert (nosuch.status, nosuch.certificate) == (404, answer.certificate), "the default certificate"
    assert sandbox.up(**addon) == set()


@pytest.mark.usefixtures("addon")
def test_the_controller_sees_clients_and_not_the_edge(sandbox: Changing) -> None:
    network = json.loads(machine.tool("docker", "network", "inspect", sandbox.names.cluster))[0]
    name = labelled.edge(machine.engine(), sandbox.names.home)
    edge = next(one for one in network["Containers"].values() if one["Name"] == name)
    logged = sandbox.kubectl("-n", "ingress-nginx", "logs", "deployment/ingress-nginx-controller")
    requests = [line for line in logged.splitlines() if '"GET / HTTP/1.1"' in line]
    assert requests and not any(line.startswith(edge["IPv4Address"].partition("/")[0]) for line in requests), requests


@pytest.mark.usefixtures("addon")
def test_ingress_answers_again_after_a_stop(sandbox: Changing) -> None:
    sandbox.run("stop")
    sandbox.run("start")

    def other() -> str | None:
        answer = ask(sandbox, HOST)
        return None if answer.status == 200 else str(answer)

    wait_until(other, what=HOST, timeout=60)


def test_spec_switches_between_traefik_and_minikubes_ingress(sandbox: Changing, addon: Mapping[str, Any]) -> None:
    sandbox.up(ingress={"controller": "traefik"}, apply=["app.yaml"])
    assert sandbox.addons()["ingress"] == ("off", None)
    assert "ingress-nginx" not in sandbox.kubectl("get", "namespaces")
    answer = ask(sandbox, HOST)
    assert (answer.status, "it is busybox" in answer.page) == (200, True), answer
    sandbox.up(**addon)
    answer = ask(sandbox, HOST)
    assert (answer.status, "it is busybox" in answer.page) == (200, True), answer
    assert "traefik" not in sandbox.kubectl("get", "daemonsets", "-A")
