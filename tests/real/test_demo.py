"""The whole way on a real machine: the demo comes up, is what it says, stays so, and goes without a trace."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from cryptography import x509

from sandbox.app import context
from sandbox.bundle.builder import debian
from sandbox.components.certificates.authority import make_root
from sandbox.engine import Engine, labelled
from sandbox.kube.api import Cluster
from sandbox.names import LABEL, Names
from sandbox.system import resolvers
from sandbox.system.wait import wait_until
from tests.real import machine, minikube
from tests.real.machine import CommandLine, tool

pytestmark = pytest.mark.real

NAME = "e2e"
DOMAIN = f"{NAME}.sandbox.localhost"
DEMO = Path(__file__).parents[2] / "fixtures" / "demos" / "web"


@dataclass(frozen=True)
class Demo:
    """The demo under another name, so that a developer's own may stay up meanwhile."""

    folder: Path
    ports: tuple[int, int]
    registry: int
    kubeconfig: Path
    before: dict[str, frozenset[str]]
    provider: str
    variables: dict[str, str]

    @property
    def command(self) -> CommandLine:
        return CommandLine({"KUBECONFIG": str(self.kubeconfig), **self.variables}, self.folder)

    @property
    def node(self) -> str:
        return self.names.node if self.provider == "kind" else self.names.cluster

    @property
    def names(self) -> Names:
        return context.home().sandbox(NAME)

    @property
    def root(self) -> Path:
        return self.names.root_certificate

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def curl(self, host: str, port: int, *more: str | Path) -> str:
        """The status code that curl gets, with the sandbox's root as the only one it trusts."""
        where = ["--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/"]
        return tool(
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--cacert",
            self.root,
            *more,
            *where,
        )

    def certificate(self, host: str) -> x509.Certificate:
        """The certificate that a client sees who asks for `host`, checked against the sandbox's root."""
        context = ssl.create_default_context(cafile=str(self.root))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(("127.0.0.1", self.ports[0]), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            presented = connection.getpeercert(binary_form=True)
        assert presented is not None
        return x509.load_der_x509_certificate(presented)

    def in_pod(self, *argv: str, status: int | None = 0) -> str:
        words = ("-n", "demo", "exec", "deploy/hello", "--", *argv)
        return machine.kubectl(self.kubeconfig, *words, status=status)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture
def edge(engine: Engine, demo: Demo) -> str:
    """The name of the edge that serves the demo; another user's may have the plain one."""
    return labelled.edge(engine, demo.names.home)


@pytest.fixture(scope="module", params=["kind", pytest.param("minikube", marks=pytest.mark.nightly)])
def demo(engine: Engine, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo on a cluster of each kind; where no minikube is found, that half is skipped and says so."""
    provider, place = str(request.param), tmp_path_factory.mktemp("demo")
    variables = minikube.variables(engine, place / "minikube") if provider == "minikube" else {}
    folder = place / "demo"
    shutil.copytree(DEMO, folder)
    first, second, registry = machine.free_ports(443, 8443, 5001)
    ports = (first, second)
    for file in [*folder.glob("k8s/*.yaml"), folder / "sandbox.yaml"]:
        text = (
            file.read_text()
            .replace("demo.sandbox.localhost", DOMAIN)
            .replace("localhost:5001", f"localhost:{registry}")
        )
        file.write_text(text)
    spec = yaml.safe_load((folder / "sandbox.yaml").read_text())
    spec |= {"cluster": {"provider": provider}}
    spec |= {"name": NAME, "registry": {"port": registry}, "edge": {"ports": list(ports)}}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    kubeconfig = folder.parent / "kubeconfig"
    foreign = {
        "clusters": [{"name": "work", "cluster": {"server": "https://work.example:6443"}}],
        "current-context": "work",
    }
    foreign |= {"contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}], "users": []}
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **foreign}))
    CommandLine({"KUBECONFIG": str(kubeconfig), **variables}, folder)("down", "--purge")
    made = Demo(folder, ports, registry, kubeconfig, machine.ours(engine), provider, variables)
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


def test_the_cluster_is_real_and_its_context_is_the_current_one(demo: Demo, engine: Engine) -> None:
    nodes = demo.cluster.list("v1", "Node")
    assert [one["metadata"]["name"] for one in nodes] == [demo.node]
    config = yaml.safe_load(demo.kubeconfig.read_text())
    assert config["current-context"] == demo.names.cluster
    assert {one["name"] for one in config["contexts"]} == {"work", demo.names.cluster}
    assert "Ready" in machine.kubectl(demo.kubeconfig, "get", "nodes")
    node = engine.container(demo.node)
    assert node is not None and node.image.startswith("sha256:")


@pytest.mark.security(3)
def test_registry_is_plain_http_on_loopback_and_discoverable(demo: Demo, engine: Engine) -> None:
    """The registry of a running sandbox → published on loopback only."""
    addresses = machine.listeners(demo.registry)[demo.registry]
    assert addresses and addresses <= machine.LOOPBACK
    found = demo.cluster.get("v1", "ConfigMap", "local-registry-hosting", "kube-public")
    assert found is not None
    hosting = yaml.safe_load(found["data"]["localRegistryHosting.v1"])
    assert set(hosting) == {"host", "hostFromContainerRuntime", "hostFromClusterNetwork", "help"}
    assert hosting["host"] == f"localhost:{demo.registry}"
    for name in (hosting["host"], hosting["hostFromContainerRuntime"]):
        status, output = engine.execute(demo.node, ["crictl", "pull", f"{name}/demo/busybox:1"])
        assert status == 0, output
    catalog = demo.in_pod("busybox", "wget", "-q", "-O-", f"http://{hosting['hostFromClusterNetwork']}/v2/_catalog")
    assert "demo/hello" in catalog


def _manifest(demo: Demo, repository: str) -> dict[str, Any]:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = requests.get(f"http://127.0.0.1:{demo.registry}/v2/{repository}/manifests/1", headers=accept, timeout=10)
    answer.raise_for_status()
    return dict(answer.json())


def test_pushed_images_share_layers_and_pods_really_run_them(demo: Demo) -> None:
    layers = {
        name: [one["digest"] for one in _manifest(demo, f"demo/{name}")["layers"]]
        for name in ("hello", "world", "busybox")
    }
    assert layers["hello"][0] == layers["world"][0] == layers["busybox"][0]
    assert layers["hello"] != layers["world"]
    config = _manifest(demo, "demo/hello")["config"]["digest"]
    (pod,) = demo.cluster.list("v1", "Pod", "demo", selector="app=hello")
    (status,) = pod["status"]["containerStatuses"]
    (container,) = pod["spec"]["containers"]
    assert container["image"].startswith(f"localhost:{demo.registry}/demo/hello:1@sha256:")
    # containerd names what it pulled by the config or by the manifest; either is in the registry and nowhere else.
    assert config in status["imageID"] or f"localhost:{demo.registry}/demo/hello@" in status["imageID"]


@pytest.mark.parametrize("host", ["hello", "world", "secure"])
@pytest.mark.parametrize("which", [0, 1])
def test_every_host_answers_on_both_ports(demo: Demo, host: str, which: int) -> None:
    assert demo.curl(f"{host}.{DOMAIN}", demo.ports[which]) == "200"


def test_the_hosts_are_different_pages(demo: Demo) -> None:
    pages = {}
    for host in ("hello", "world"):
        name = f"{host}.{DOMAIN}:{demo.ports[0]}"
        pages[host] = tool(
            "curl", "--silent", "--cacert", demo.root, "--resolve", f"{name}:127.0.0.1", f"https://{name}/"
        )
    assert "Hello from the sandbox" in pages["hello"]
    assert "another host" in pages["world"]


def test_openssl_verifies_the_chain_strictly(demo: Demo) -> None:
    where = f"127.0.0.1:{demo.ports[1]}"
    host = f"hello.{DOMAIN}"
    said = tool(
        "openssl", "s_client", "-connect", where, "-servername", host, "-verify_hostname", host, "-verify_return_error",
        "-x509_strict", "-CAfile", demo.root,
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in said


def test_certificate_of_another_ca_is_refused(demo: Demo, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    file = tmp_path / "other.crt"
    file.write_bytes(make_root([DOMAIN], now=now).cert_pem)
    host = f"hello.{DOMAIN}"
    where = ["--resolve", f"{host}:{demo.ports[0]}:127.0.0.1", f"https://{host}:{demo.ports[0]}/"]
    tool("curl", "--silent", "--cacert", file, *where, status=60)
    with pytest.raises(ssl.SSLCertVerificationError):
        context = ssl.create_default_context(cafile=str(file))
        with socket.create_connection(("127.0.0.1", demo.ports[0]), timeout=10) as plain:
            context.wrap_socket(plain, server_hostname=host)


def _hosts(certificate: x509.Certificate) -> list[str]:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


def test_hosts_get_wildcard_and_passthrough_its_own_certificate(demo: Demo) -> None:
    assert f"*.{DOMAIN}" in _hosts(demo.certificate(f"hello.{DOMAIN}"))
    assert f"*.{DOMAIN}" in _hosts(demo.certificate(f"nosuch-knows-this.{DOMAIN}"))
    assert _hosts(demo.certificate(f"secure.{DOMAIN}")) == [f"secure.{DOMAIN}"]


def test_unknown_host_gets_default_certificate_and_list_of_hosts(demo: Demo) -> None:
    host = f"nosuch-knows-this.{DOMAIN}"
    assert demo.curl(host, demo.ports[0]) == "404"
    name = f"{host}:{demo.ports[0]}"

    def lacks() -> str | None:
        page = tool(
            "curl", "--silent", "--cacert", demo.root, "--resolve", f"{name}:127.0.0.1", f"https://{name}/some/path"
        )
        assert "<script" not in page
        return None if f"hello.{DOMAIN}" in page else page

    wait_until(lacks, what="the page", timeout=20)  # it follows the cluster, a few seconds behind


@pytest.mark.security(3, 15)
def test_the_edge_is_confined(demo: Demo, edge: str) -> None:
    """The edge of a running sandbox → loopback only; who serves clients is not root and has no capability."""
    facts = json.loads(tool("docker", "inspect", edge))[0]
    assert facts["HostConfig"]["ReadonlyRootfs"] and facts["HostConfig"]["CapDrop"] == ["ALL"]
    processes = [line.split() for line in tool("docker", "top", edge, "-eo", "uid,pid,comm").splitlines()[1:]]
    workers = [pid for uid, pid, command in processes if command == "haproxy" and uid != "0"]
    assert workers and len(processes) - len(workers) <= 2, processes  # docker-init and the master
    for pid in workers:
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{pid}/status").read_text()
    for port, addresses in machine.listeners(*demo.ports).items():
        assert addresses and addresses <= machine.LOOPBACK, port


def test_a_pod_resolves_and_reaches_an_outside_name(demo: Demo) -> None:
    # The one outside host that a machine which installs packages is sure to reach.
    mirror = (
        urllib.parse.urlparse(debian.mirrors()[0])
        if shutil.which("apt-get")
        else urllib.parse.urlparse("https://example.com")
    )
    host = mirror.hostname or ""

    def unreached() -> str | None:
        found = demo.in_pod("busybox", "nslookup", host, status=None)
        said = demo.in_pod("busybox", "wget", "-S", "-O", "/dev/null", f"http://{host}/", status=None)
        return None if "Address" in found.split("Name:")[-1] and "HTTP/1." in said else found + said

    wait_until(unreached, what=host, timeout=60)  # the world outside has its own ways


def test_the_pods_use_the_nameservers_of_the_spec(demo: Demo, engine: Engine) -> None:
    known = demo.cluster.get("v1", "ConfigMap", "coredns", "kube-system") or {}
    wanted = resolvers.upstream().servers
    assert f"    forward . {' '.join(wanted)} {{\n" in known["data"]["Corefile"]
    if demo.provider == "kind":
        found = engine.execute(demo.node, ["cat", "/etc/kubernetes/pod-resolv.conf"])[1]
        assert found == resolvers.resolv_conf(wanted[:3], ())


def test_a_volume_claim_is_bound_by_the_default_storage_class(demo: Demo) -> None:
    # A minikube built from its sources has a provisioner with libraries that are newer than it; a released one has not.
    if "endpoints lock is removed" in demo.cluster.log("storage-provisioner", "kube-system", lines=50):
        pytest.skip("the provisioner of this minikube ends at once: client-go has no lock of endpoints any more")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    metadata = {"name": "data", "namespace": "demo"}
    demo.cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim})
    image = f"localhost:{demo.registry}/demo/busybox:1"
    container = {"name": "w", "image": image, "command": ["sh", "-c", "echo kept > /data/x && cat /data/x"]}
    pod = {"restartPolicy": "Never", "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}
    pod |= {"containers": [{**container, "volumeMounts": [{"name": "d", "mountPath": "/data"}]}]}
    demo.cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer", "namespace": "demo"}, "spec": pod}
    )
    done = "jsonpath={.status.phase}=Succeeded"
    machine.kubectl(
        demo.kubeconfig,
        "-n",
        "demo",
        "wait",
        "pod/writer",
        f"--for={done}",
        "--timeout=110s",
    )
    assert demo.cluster.log("writer", "demo").strip() == "kept"
    demo.cluster.delete("v1", "Pod", "writer", "demo")
    demo.cluster.delete("v1", "PersistentVolumeClaim", "data", "demo")


def test_a_second_up_changes_nothing(demo: Demo, engine: Engine, edge: str) -> None:
    def containers() -> dict[str, str]:
        """This sandbox's and the edge; those of others may come and go."""
        found = (*engine.containers(f"{LABEL}={demo.names.name}"), *map(engine.container, (demo.node, edge)))
        return {one.name: one.id for one in found if one}

    before = containers()
    assert {demo.names.registry, demo.node, edge} <= before.keys()
    ran = demo.command("up", "--progress", "json", "-o", "json")
    said = json.loads(ran.out)
    assert (said["name"], said["root_certificate"]) == (demo.names.name, str(demo.names.root_certificate))
    assert any(url.startswith("https://hello.") for url in said["urls"]), said
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert {event["event"] for event in events} == {"unchanged"}
    assert containers() == before
    assert demo.command("up", "--plan").out == ""


def test_status_tells_every_step_ready(demo: Demo) -> None:
    found = demo.command.steps()
    assert {state for state, _ in found.values()} == {"ready"}
    assert {"cluster", "registry", "push", "ingress", "edge", "https"} <= found.keys()


def test_every_component_of_kubernetes_is_well(demo: Demo) -> None:
    said = machine.kubectl(demo.kubeconfig, "get", "--raw", "/readyz?verbose")
    assert "etcd ok" in said and "failed" not in said
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-dns", "kube-proxy")

    def not_yet() -> str | None:
        ready: dict[str, set[str]] = {part: set() for part in parts}
        for pod in demo.cluster.list("v1", "Pod", "kube-system"):
            labels = pod["metadata"].get("labels", {})
            conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
            part = labels.get("component") or labels.get("k8s-app", "")
            ready.setdefault(part, set()).add(conditions.get("Ready", ""))
        return None if all(ready[part] == {"True"} for part in parts) else str(ready)

    # No one waits for the control plane's own pods, which the kubelet probes every ten seconds.
    wait_until(not_yet, what="the components of Kubernetes", timeout=60)


def test_push_images_by_itself_finds_everything_there(demo: Demo) -> None:
    report = json.loads(demo.command("push-images", "-o", "json").out)
    assert {image["action"] for image in report["images"]} == {"skipped"}


@pytest.mark.fault(20, 67)
def test_removed_objects_are_restored(demo: Demo, engine: Engine, edge: str) -> None:
    """Edge, registry and context are removed → `status` fails, `up` makes all of them again."""
    engine.remove_container(edge)
    engine.remove_container(demo.names.registry)
    for words in (("use-context", "work"), ("delete-context", demo.names.cluster)):
        machine.kubectl(demo.kubeconfig, "config", *words)
    assert demo.command("status", status=1)
    demo.command("up")
    assert demo.curl(f"hello.{DOMAIN}", demo.ports[0]) == "200"
    assert _manifest(demo, "demo/hello")
    assert "Ready" in machine.kubectl(demo.kubeconfig, "get", "nodes")


def test_down_leaves_nothing(demo: Demo, engine: Engine) -> None:
    demo.command("down")
    after = machine.ours(engine)
    assert after["volumes"] - demo.before["volumes"] == {demo.names.volume}, "the registry's data is kept"
    demo.command("down", "--purge")
    assert machine.ours(engine) == demo.before
    config = yaml.safe_load(demo.kubeconfig.read_text())
    assert [one["name"] for one in config["contexts"]] == ["work"]
    assert config["current-context"] == "work"
    assert not demo.names.folder.exists() and not demo.names.keys.exists()
    assert not context.home().edge.joinpath("routes", f"{NAME}.json").exists()
