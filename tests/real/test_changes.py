"""A spec that changes while its sandbox runs: every change arrives, and the cluster is the same one all the time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.engine import Engine
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.system import host_network
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import tool
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-changes"
OTHER = "changes.example.test"  # the root vouches for every domain below sandbox.localhost


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def made(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    app = Application.free(NAME, tmp_path_factory.mktemp("changes"))
    app.write()
    try:
        app.command("up")
        yield app
    finally:
        app.command("down", "--purge", status=None)


@pytest.fixture
def app(made: Application, engine: Engine) -> Iterator[Application]:
    """The sandbox, which after each test has the same node, is ready and, by its first spec, what it was before."""
    node = engine.container(made.names.node)
    assert node is not None
    yield made
    assert made.command("up", "--plan").out == ""
    after = engine.container(made.names.node)
    assert after is not None and after.id == node.id
    made.write()
    made.command("up")
    assert made.page() == "first"


def test_ports_of_the_edge_and_the_registry(app: Application) -> None:
    first = host_network.next_free("127.0.0.1", 9443)
    second = host_network.next_free("127.0.0.1", first + 1)
    app.write(edge={"ports": [first]}, registry={"port": second})
    app.command("up")
    assert app.page(port=first) == "first"
    assert "app" in tool("curl", "--silent", f"http://127.0.0.1:{second}/v2/_catalog")
    assert host_network.is_free("127.0.0.1", app.registry)
    assert f"localhost:{second}" in app.kubectl("get", "deploy", "app", "-o", "yaml")


def test_changed_listen_address_is_used(app: Application) -> None:
    app.write(edge={"ports": list(app.ports), "listen": "127.0.0.2"})
    app.command("up")
    assert not host_network.is_free("127.0.0.2", app.ports[0])


def test_nameservers_search_domains_and_hosts(app: Application) -> None:
    app.write(
        network={"nameservers": ["192.0.2.53"], "search": ["example.org"], "hosts": {"db.example.org": "10.9.8.7"}}
    )
    app.command("up")

    def unknown() -> str | None:
        said = app.kubectl("exec", "deploy/app", "--", "sh", "-c", "busybox nslookup db.example.org || true")
        return None if "10.9.8.7" in said else said

    wait_until(unknown, what="the host", timeout=20)
    asked = tool("docker", "exec", app.names.node, "cat", "/etc/kubernetes/pod-resolv.conf")
    assert "192.0.2.53" in asked and "example.org" in asked


def test_images_and_objects_that_come_and_go(app: Application) -> None:
    lists = {"images": [*_images(app), {"from": "daemon", "image": "sandbox.dev/haproxy", "as": "more:1"}]}
    (app.folder / "images.yaml").write_text(yaml.safe_dump(lists))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"a": "b"}}
    (app.folder / "k8s" / "more.yaml").write_text(yaml.safe_dump(config))
    app.command("up")
    assert "more" in tool("curl", "--silent", f"http://127.0.0.1:{app.registry}/v2/_catalog")
    assert "more" in app.kubectl("get", "configmap", "more")
    (app.folder / "k8s" / "more.yaml").unlink()
    plan = json.loads(app.command("up", "--plan", "--check", "-o", "json", status=1).out)
    (row,) = [one for one in plan["steps"] if one["step"] == "apply"]
    assert (row["action"], row["detail"]) == ("repair", "no longer in the manifests: ConfigMap default/more")
    app.command("up")
    assert "NotFound" in app.kubectl("get", "configmap", "more", status=1)


def test_objects_being_deleted_are_restored_by_one_up(app: Application) -> None:
    place = app.folder / "k8s" / "app.yaml"
    text = place.read_text()
    # The server is the first process of its container and has no handler for SIGTERM: it takes all its time to end.
    place.write_text(text.replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 25"))
    app.command("up")
    before = app.kubectl("get", "deploy", "app", "-o", "jsonpath={.metadata.uid}")
    app.kubectl("delete", "deploy", "app", "--cascade=foreground", "--wait=false")
    assert "Deployment default/app is being deleted" in app.command("up", "--plan", "--check", status=1).out
    app.command("up")
    assert app.kubectl("get", "deploy", "app", "-o", "jsonpath={.metadata.uid}") != before
    assert app.page() == "first"


def test_tag_in_use_is_pushed_over_and_rolled_out_by_up(app: Application) -> None:
    def image() -> str:
        return app.kubectl(
            "get", "pods", "-l", "app=app", "-o", "jsonpath={.items[0].status.containerStatuses[0].imageID}"
        )

    before, context = image(), app.folder / "over"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM sandbox.dev/busybox:latest\nLABEL of=another\n")
    built = {"images": [{"from": "build", "context": "over", "as": "app:1"}]}
    (app.folder / "images.yaml").write_text(yaml.safe_dump(built))
    assert "sandbox up" in app.command("push-images").err
    assert (image(), app.page()) == (before, "first")
    report = json.loads(app.command("push-images", "-o", "json").out)
    assert [one["action"] for one in report["images"]] == ["skipped"]
    app.command("up")
    wait_until(lambda: "the old one" if image() == before else None, what="the new image", timeout=60)
    # The controller may not have heard of the new pod yet.
    Sandbox(app.names, app.ports[0]).serves(f"app.{NAME}.sandbox.localhost")
    assert app.page() == "first"


def test_certificates_of_their_own_and_addons_that_come_and_go(app: Application, tmp_path: Path) -> None:
    addon = tmp_path / "note"
    addon.mkdir()
    (addon / "addon.yaml").write_text("title: a note\n")
    (addon / "note.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: note, namespace: default}}\n")
    host = f"own.{NAME}.sandbox.localhost"
    secret = {"secret": "own-tls", "namespace": "default", "hosts": [host]}
    app.write(certs={"secrets": [secret]}, addons=[str(addon)])
    app.command("up")
    assert "note" in app.kubectl("get", "secret/own-tls", "configmap/note")
    app.write()
    app.command("up")
    left = app.kubectl("get", "secret,configmap", "-o", "name")
    assert "own-tls" not in left and "note" not in left


def test_accounts_that_come_and_go(app: Application) -> None:
    auth = base64.b64encode(b"me:canary-secret-8").decode()
    file = app.folder / "config.json"
    file.write_text(json.dumps({"auths": {"registry.example.org": {"auth": auth}}}))
    file.chmod(0o600)
    app.write(credentials=[{"kind": "docker", "file": "config.json", "namespaces": ["default"]}])
    app.command("up")
    assert "dpr-secret" in app.kubectl("get", "secret", "-o", "name")
    app.write()
    ran = app.command("up")
    assert "canary-secret-8" not in ran.out + ran.err
    wait_until(
        lambda: None if "dpr-secret" not in app.kubectl("get", "secret", "-o", "name") else "still there",
        what="the Secret",
        timeout=20,
    )


def test_start_repairs_an_api_server_that_is_not_reached(app: Application) -> None:
    app.names.kubeconfig.unlink()
    app.command("start")
    assert app.page() == "first"


def test_without_an_ingress_controller_and_with_one_again(app: Application) -> None:
    controllers = ("get", "daemonsets", "--namespace", SYSTEM_NAMESPACE, "--output=name")
    app.write(ingress={"controller": "none"})
    app.command("up")
    assert "traefik" not in app.kubectl(*controllers)
    app.write()
    app.command("up")
    assert "traefik" in app.kubectl(*controllers)
    assert app.page() == "first"


def test_changed_domain_needs_consent_for_a_new_root(app: Application) -> None:
    app.write(domain=OTHER)
    plan = app.command("up", "--plan", "--check", status=1).out
    assert "rebuild" in plan and "only with --recreate certificates" in plan
    ran = app.command("up", status=1)
    assert "cannot be updated in place" in ran.err and "sandbox up --recreate certificates" in ran.err
    assert app.page() == "first", "nothing was changed"
    app.command("up", "--recreate", "certificates")
    assert app.page(domain=OTHER) == "first"
    hosts = app.kubectl("get", "ingress", "-A", "-o", "jsonpath={.items[*].spec.rules[*].host}")
    assert hosts == f"app.{OTHER}"
    app.write()
    app.command("up", "--recreate", "certificates")


def test_a_step_that_is_never_recreated_is_named(app: Application) -> None:
    ran = app.command("up", "--recreate", "push", status=2)
    assert "--recreate knows no step 'push'" in ran.err and "certificates" in ran.err


def _images(app: Application) -> list[object]:
    return list(yaml.safe_load((app.folder / "images.yaml").read_text())["images"])
