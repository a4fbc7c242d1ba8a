"""The registry and its nodes through what happens to them: removed, restarted, moved, another's; containerd pulls."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.components.registry.container_step import BLOBS, COMMAND, DATA, QUARANTINE, RegistryStep
from sandbox.config.schema import Spec
from sandbox.engine import Bind, ContainerSpec, Engine, container_copy, labelled
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.credential import Credential, Keychain
from sandbox.oci.image import host_platform
from sandbox.oci.manifest import OCI_CONFIG, OCI_LAYER, Descriptor, canonical, image_manifest
from sandbox.oci.oci_errors import RegistryError
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool
from tests.support.images import tar
from tests.support.registries import silence

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-wiring"
UPSTREAM = "sandbox-test-wiring-upstream"
GUEST = "sandbox-test-wiring-guest"
PASSWORD = "canary-secret-17"
# `htpasswd -nbB user canary-secret-17`, with a cost that makes no test wait
HTPASSWD = "user:$2b$05$abcdefghijklmnopqrstuu49mhERQoH69uWELOtUmupnqlZ1aS9pm\n"


class Account:
    def find(self, host: str) -> Credential | None:
        return Credential("user", PASSWORD)


@dataclass(frozen=True)
class Sandbox:
    """One sandbox without an ingress, whose registry's settings change while it runs."""

    command: CommandLine
    names: Names
    port: int
    https: tuple[int, ...]
    said: list[str] = field(default_factory=list)

    def up(self, credentials: Sequence[Mapping[str, Any]] = (), **registry: Any) -> None:
        spec = {
            "name": NAME,
            "registry": {"port": self.port, **registry},
            "edge": {"ports": list(self.https)},
            "ingress": {"controller": "none"},
            "credentials": list(credentials),
        }
        (self.command.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        ran = self.command("up")
        self.said.extend((ran.out, ran.err))

    def status(self, step: str) -> tuple[str, str]:
        ran = self.command("status", "-o", "json", status=None)
        self.said.extend((ran.out, ran.err))
        (row,) = [one for one in json.loads(ran.out)["steps"] if one["step"] == step]
        return row["state"], row["detail"]

    def pull(self, image: str, *, status: int = 0) -> str:
        """Pull inside the node by containerd, as kubelet does, an image that the node has not."""
        tool("docker", "exec", self.names.node, "crictl", "rmi", image, status=None)
        return tool("docker", "exec", self.names.node, "crictl", "pull", image, status=status)

    def unpulled(self, image: str) -> str | None:
        """What keeps the node from pulling, or None."""
        said = tool("docker", "exec", self.names.node, "crictl", "pull", image, status=None)
        return None if "Image is up to date" in said else said


def fresh(url: str, repository: str = "app", tag: str = "dev", keychain: Keychain | None = None) -> str:
    """Push a tiny image that no one has; gives `REPOSITORY@DIGEST`."""
    layer = tar({"file": os.urandom(3000)})
    system, architecture = host_platform().split("/")
    rootfs = {"type": "layers", "diff_ids": [digests.of(layer)]}
    config = canonical({"architecture": architecture, "os": system, "config": {}, "rootfs": rootfs})
    blobs = [(OCI_CONFIG, config), (OCI_LAYER, layer)]
    first, second = (Descriptor(kind, digests.of(data), len(data)) for kind, data in blobs)
    document = image_manifest(first, (second,))
    with Client(url, keychain=keychain) as client:
        for blob, data in ((first, config), (second, layer)):
            client.upload(repository, blob, partial(_given, data))
        client.put_manifest(repository, tag, document)
    return f"{repository}@{document.digest}"


def _given(data: bytes) -> contextlib.AbstractContextManager[Iterator[bytes]]:
    return contextlib.nullcontext(iter((data,)))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("wiring")
    first, second, registry = machine.free_ports(443, 8443, 5001)
    (folder / "docker").mkdir()
    auth = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    login = {"auths": {f"{UPSTREAM}:5000": {"auth": auth}}}
    (folder / "docker" / "config.json").write_text(json.dumps(login))
    env = {"KUBECONFIG": str(folder / "kubeconfig"), "DOCKER_CONFIG": str(folder / "docker")}
    made = Sandbox(CommandLine(env, folder), context.home().sandbox(NAME), registry, (first, second))
    try:
        made.up()
        yield made
    finally:
        made.command("down", NAME, "--purge", status=None)


@pytest.fixture
def own(sandbox: Sandbox) -> Sandbox:
    sandbox.up()
    return sandbox


@contextlib.contextmanager
def container(engine: Engine, name: str, **more: Any) -> Iterator[None]:
    """A registry of another user while it is entered, of the image that the sandbox's own has."""
    image = system_images.for_spec(Spec(), context.home(), engine).references["registry"]
    settings = {"OTEL_TRACES_EXPORTER": "none", **more.pop("environment", {})}
    engine.remove_container(name)
    engine.run(
        ContainerSpec(
            name=name,
            image=image,
            command=COMMAND,
            labels={},
            network=Names(NAME, context.home()).network,
            environment=settings,
            **more,
        )
    )
    try:
        yield
    finally:
        engine.remove_container(name)
        engine.remove_volume(name)


@contextlib.contextmanager
def published(engine: Engine, name: str, port: int, **more: Any) -> Iterator[None]:
    """Such a registry, which answers on this machine and keeps what it is given."""
    publish, volumes = {5000: (Bind("127.0.0.1", port),)}, {name: "/var/lib/registry"}
    with container(engine, name, publish=publish, volumes=volumes, **more):
        wait_until(partial(silence_at, port), what=name, timeout=10)
        yield


def silence_at(port: int) -> str | None:
    with Client(f"localhost:{port}") as client:
        return silence(client)


def test_pushed_image_is_pulled_by_each_published_name(own: Sandbox) -> None:
    image = fresh(f"localhost:{own.port}")
    cluster = Cluster(own.names.kubeconfig)
    found = cluster.get("v1", "ConfigMap", "local-registry-hosting", "kube-public")
    assert found
    said = yaml.safe_load(found["data"]["localRegistryHosting.v1"])
    assert said.keys() == {"host", "hostFromContainerRuntime", "hostFromClusterNetwork", "help"}
    for key in ("host", "hostFromContainerRuntime", "hostFromClusterNetwork"):
        own.pull(f"{said[key]}/{image}")
    state, detail = own.status("wiring")
    assert state == "ready" and detail.startswith("wired, canary ")


def test_the_canary_leaves_nothing_behind_in_the_node(own: Sandbox) -> None:
    own.status("wiring")
    assert "canary" not in tool("docker", "exec", own.names.node, "crictl", "images")


@pytest.mark.fault(20)
def test_a_registry_that_was_removed_comes_back_with_its_images(own: Sandbox) -> None:
    """`docker rm --force` of the registry → `up` makes it again and its images are pulled as before."""
    image = fresh(f"localhost:{own.port}")
    tool("docker", "rm", "--force", own.names.registry)
    assert own.status("wiring")[0] == "absent"
    own.up()
    own.pull(f"localhost:{own.port}/{image}")


def test_a_node_that_restarts_pulls_as_before(own: Sandbox) -> None:
    image = fresh(f"localhost:{own.port}")
    tool("docker", "restart", own.names.node)
    own.up()
    assert own.status("wiring")[0] == "ready"
    own.pull(f"localhost:{own.port}/{image}")


@pytest.mark.fault(26)
def test_a_registry_at_another_address_is_found_by_pods_again(own: Sandbox, engine: Engine) -> None:
    """The registry joins its network again, at another address → `up` recreates it at its own."""
    network, before = own.names.network, engine.container(own.names.registry)
    for word in ("disconnect", "connect"):  # it keeps its own through a stop
        tool("docker", "network", word, network, own.names.registry)
    after = engine.container(own.names.registry)
    assert before and after and before.addresses != after.addresses
    assert own.status("registry") == ("drifted", "the edge routes its port elsewhere")
    own.up()
    found = Cluster(own.names.kubeconfig).get("discovery.k8s.io/v1", "EndpointSlice", "registry", SYSTEM_NAMESPACE)
    assert found and found["endpoints"][0]["addresses"] == [before.addresses[network]], "it has its own address again"
    own.pull(f"localhost:{own.port}/{fresh(f'localhost:{own.port}')}")


@pytest.mark.fault(25)
def test_files_that_the_node_lost_are_named_and_written_again(own: Sandbox) -> None:
    """/etc/containerd/certs.d is removed in the node → `status` names it, `up` writes it again."""
    tool("docker", "exec", own.names.node, "rm", "-r", "/etc/containerd/certs.d")
    state, detail = own.status("wiring")
    assert state == "absent" and "hosts.toml" in detail
    own.up()
    own.pull(f"localhost:{own.port}/{fresh(f'localhost:{own.port}')}")


@pytest.mark.fault(25)
def test_node_that_does_not_reach_the_registry_is_named(own: Sandbox) -> None:
    """A firewall rule between node and registry → `status` shows the pull's error and the node."""
    rule = ("OUTPUT", "-p", "tcp", "--dport", "5000", "-j", "REJECT")
    tool("docker", "exec", own.names.node, "iptables", "-I", *rule)
    try:
        state, detail = own.status("wiring")
    finally:
        tool("docker", "exec", own.names.node, "iptables", "-D", *rule)
    assert state == "drifted" and detail.startswith("pull: ")
    assert own.names.node in detail and "fix: " in detail
    assert own.status("wiring")[0] == "ready"


def test_garbage_goes_and_what_is_named_stays(own: Sandbox) -> None:
    url = f"localhost:{own.port}"
    old, new, untagged = fresh(url), fresh(url), fresh(url, "other", "soon-gone")
    with Client(url) as client:
        client.delete_manifest("other", "soon-gone")
    listed = json.loads(own.command("images", "list", "-o", "json").out)["images"]
    assert {(one["repository"], one["tag"], one["digest"]) for one in listed} >= {("app", "dev", new.partition("@")[2])}
    dry = own.command("images", "gc", "--dry-run")
    manifests = dry.out.splitlines()
    assert {old, untagged} <= set(manifests) and new not in manifests and "MB would be freed: " in dry.err
    assert not any("canary" in name for name in manifests)
    own.pull(f"{url}/{old}")
    freed = own.command("images", "gc")
    assert freed.out == dry.out and "MB was freed: " in freed.err
    assert "not found" in own.pull(f"{url}/{old}", status=1)
    own.pull(f"{url}/{new}")
    assert "0.0 MB was freed: 0 blobs" in own.command("images", "gc").err
    fresh(url)


class Meanwhile(RegistryStep):
    def garbage(self, *, delete: bool = False) -> str:
        with pytest.raises(RegistryError) as caught:
            fresh(self.url)
        assert caught.value.status == 405
        with Client(self.url) as client:
            assert client.tags("app") == ("dev",)
        return super().garbage(delete=delete)


def test_push_is_refused_during_garbage_collection(own: Sandbox, engine: Engine) -> None:
    fresh(f"localhost:{own.port}")
    edge = labelled.edge(engine, own.names.home)
    found, before = engine.container(own.names.registry), engine.container(edge)
    assert found and before
    Meanwhile(
        engine=engine,
        names=own.names,
        image=found.image,
        edge_image=before.image,
        port=own.port,
    ).collect("sandbox.dev/busybox")
    assert engine.container(edge) == before
    fresh(f"localhost:{own.port}")


def test_mirror_asks_upstream_once_with_a_hidden_account(own: Sandbox, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    settings = {
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "upstream",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd",
    }
    (port,) = machine.free_ports(5050)
    binds = {tmp_path / "htpasswd": "/htpasswd"}
    with published(engine, UPSTREAM, port, environment=settings, binds=binds):
        pushed = fresh(f"localhost:{port}", keychain=Account())
        mirrors = ["docker.io", f"http://{UPSTREAM}:5000"]
        own.up(mirrors=mirrors)
        state, detail = own.status("mirrors")
        assert state == "ready" and f"{UPSTREAM}:5000 without an account" in detail
        own.up([{"kind": "docker"}], mirrors=mirrors)
        state, detail = own.status("mirrors")
        assert state == "ready" and "signed in as user" in detail
        own.pull(f"{UPSTREAM}:5000/{pushed}")
        mirror = own.names.mirror(f"{UPSTREAM}:5000")
        tool("docker", "stop", mirror)
        own.pull(f"{UPSTREAM}:5000/{pushed}", status=1)  # the node has no account, but it asks the upstream
        asked = pushed.replace("@", "/manifests/")
        refused = rf'"(HEAD|GET) /v2/{re.escape(asked)}(\?\S*)? HTTP/1.1" 401'
        assert re.search(refused, tool("docker", "logs", UPSTREAM))
        tool("docker", "start", mirror)
        # One with an account asks its upstream when it starts.
        wait_until(lambda: own.unpulled(f"{UPSTREAM}:5000/{pushed}"), what="the mirror", timeout=60)
        tool("docker", "exec", own.names.node, "crictl", "rmi", f"{UPSTREAM}:5000/{pushed}")
    wait_until(lambda: own.unpulled(f"{UPSTREAM}:5000/{pushed}"), what="the cache alone", timeout=90)
    seen = tool("docker", "inspect", mirror) + tool("docker", "logs", mirror) + "".join(own.said)
    assert PASSWORD not in seen + context.home().log.read_text()
    settings_file = own.names.mirrors / f"{UPSTREAM}-5000" / "config.yml"
    assert settings_file.stat().st_mode & 0o777 == 0o600
    own.up()
    assert engine.container(mirror) is None
    assert "docker.io" not in tool("docker", "exec", own.names.node, "ls", "/etc/containerd/certs.d")


def test_a_registry_of_others_is_used_instead(own: Sandbox, engine: Engine) -> None:
    (port,) = machine.free_ports(5060)
    with published(engine, GUEST, port):
        tool("docker", "network", "connect", "bridge", GUEST)
        tool("docker", "network", "disconnect", own.names.network, GUEST)
        with pytest.raises(AssertionError, match=f"docker network connect {own.names.network} {GUEST}"):
            own.up(external=f"localhost:{port}")
        tool("docker", "network", "connect", own.names.network, GUEST)
        own.up(external=f"localhost:{port}")
        assert own.status("wiring")[0] == "ready"
        assert engine.container(own.names.registry) is None
        image = fresh(f"localhost:{port}")
        for name in (f"localhost:{port}", f"{GUEST}:5000"):
            own.pull(f"{name}/{image}")
        hosting = Cluster(own.names.kubeconfig).get("v1", "ConfigMap", "local-registry-hosting", "kube-public")
        assert hosting and f"localhost:{port}" in hosting["data"]["localRegistryHosting.v1"]


def test_registry_data_folder_survives_a_purge(own: Sandbox) -> None:
    own.up(storage="images")
    image = fresh(f"localhost:{own.port}")
    own.pull(f"localhost:{own.port}/{image}")
    blobs = own.command.folder / "images" / "docker" / "registry" / "v2" / "blobs" / "sha256"
    digest = image.partition("sha256:")[2]
    assert (blobs / digest[:2] / digest / "data").is_file()
    own.command("down", "--purge")
    assert (blobs / digest[:2] / digest / "data").is_file()


def test_leftovers_of_an_interrupted_push_are_collected(own: Sandbox, engine: Engine) -> None:
    with Client(f"http://127.0.0.1:{own.port}") as client:
        requests.patch(client.begin("broken/off"), data=b"x" * 3_000_000, timeout=30).raise_for_status()
    said = own.command("images", "gc").err
    assert float(said.partition(" MB was freed")[0].split()[-1]) >= 3 and "1 leftover of broken uploads" in said
    listed = f"busybox find {DATA}/docker -path '*/broken/off/*' -type f"
    place = {DATA: own.names.volume}
    assert container_copy.run_script(engine, "sandbox.dev/busybox", listed, name=GUEST, volumes=place) == (0, "")
    again = own.command("images", "gc")
    assert "0.0 MB was freed: 0 blobs" in again.err and "leftover" not in again.err


@pytest.mark.fault(24)
def test_truncated_layer_is_quarantined_and_pushed_again(own: Sandbox, engine: Engine) -> None:
    """A layer is cut short on the registry's disk → `push-images --verify` sets it aside and pushes it again."""
    images = {"images": [{"from": "daemon", "image": "sandbox.dev/busybox", "as": "repaired:1"}]}
    (own.command.folder / "images.yaml").write_text(yaml.safe_dump(images))
    own.command("push-images", "images.yaml")
    with Client(f"http://127.0.0.1:{own.port}") as client:
        document = client.manifest("repaired", "1")
    assert document is not None
    digest = str(json.loads(document.data)["layers"][0]["digest"])
    name = digest.removeprefix("sha256:")
    place, harm = {DATA: own.names.volume}, f"echo short > {BLOBS}/sha256/{name[:2]}/{name}/data"
    assert container_copy.run_script(engine, "sandbox.dev/busybox", harm, name=GUEST, volumes=place) == (0, "")
    ran = own.command("push-images", "images.yaml", "--verify")
    assert f"set aside and pushed again: {digest}" in ran.err and "read back" in ran.err
    kept = f"busybox cat {QUARANTINE}/{name}/data"
    assert container_copy.run_script(engine, "sandbox.dev/busybox", kept, name=GUEST, volumes=place) == (0, "short\n")
    own.pull(f"localhost:{own.port}/repaired:1")
