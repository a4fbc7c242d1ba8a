"""A cluster of another shape: addresses of both families, a feature turned off, mounts, and kind's own words."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.components.certificates.authority import make_issuing, make_leaf, make_root
from sandbox.config.schema import Spec
from sandbox.kube.api import Manifest
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-shape"
LABELS = {"app": "probe"}
FEATURE = "ContainerCheckpoint"  # on by default
API = "internal.apiserver.k8s.io/v1alpha1"  # not served by default
SERVER_NAME = "api.shape.example"
# A registry whose certificate is of an authority that only a company's machines know.
COMPANY, CONTAINER = "registry.company.example", "sandbox-test-company"
# The Services, and the families of their addresses.
SERVICES = {"four": ["IPv4"], "six": ["IPv6"], "both": ["IPv4", "IPv6"]}
SERVER = """
mkdir /tmp/www
echo "$NODE has $(busybox cat /data/told)" > /tmp/www/index.html
exec busybox httpd -f -p 8080 -h /tmp/www
"""
PATCH = f"[{{op: add, path: /apiServer/certSANs/-, value: {SERVER_NAME}}}]"
KIND = {
    "networking": {"kubeProxyMode": "nftables"},
    "runtimeConfig": {API: "true"},
    "kubeadmConfigPatches": ["kind: KubeletConfiguration\nmaxPods: 50\n"],
    "kubeadmConfigPatchesJSON6902": [
        {"group": "kubeadm.k8s.io", "version": "v1beta4", "kind": "ClusterConfiguration", "patch": PATCH}
    ],
    "containerdConfigPatches": ['[debug]\n  level = "debug"\n'],
}


def objects(image: str) -> Iterator[Manifest]:
    """A pod on every node, which has the mount; a Service of each family before them; an Ingress before each."""
    env = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    container = {
        "name": "probe",
        "image": image,
        "command": ["busybox", "sh", "-c", SERVER],
        "env": env,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    pod = {
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "data", "hostPath": {"path": "/data"}}],
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "probe"},
        "spec": {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
    }
    for name, families in SERVICES.items():
        policy = "RequireDualStack" if len(families) == 2 else "SingleStack"
        ports = [{"port": 80, "targetPort": 8080}]
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": LABELS, "ports": ports, "ipFamilies": families, "ipFamilyPolicy": policy},
        }
        backend = {"service": {"name": name, "port": {"number": 80}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        yield {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name},
            "spec": {"rules": [{"host": host(name), "http": {"paths": paths}}]},
        }


def host(service: str) -> str:
    return f"{service}.{NAME}.sandbox.localhost"


def families(addresses: list[str]) -> list[int]:
    return [ipaddress.ip_address(address).version for address in addresses]


def url(address: str) -> str:
    """Where a server at that address answers; port 80, if none is in it."""
    return f"http://[{address}]" if ":" in address else f"http://{address}"


@dataclass(frozen=True)
class Shaped(Sandbox):
    command: CommandLine
    spec: Mapping[str, Any]

    @property
    def nodes(self) -> list[str]:
        return [self.names.node, f"{self.names.cluster}-worker"]

    def write(self, **cluster: Any) -> None:
        spec = {**self.spec, "cluster": {**self.spec["cluster"], **cluster}}
        (self.command.folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))

    def kubectl(self, *argv: str, status: int | None = 0) -> str:
        return machine.kubectl(self.names.kubeconfig, *argv, status=status)

    def pods(self) -> dict[str, Any]:
        found = self.cluster.list("v1", "Pod", "default", selector="app=probe")
        return {one["spec"]["nodeName"]: one for one in found if one["status"].get("podIPs")}

    def lacking(self) -> str | None:
        return ", ".join(set(self.nodes) - set(self.pods())) or None

    def asked(self, pod: str, *urls: str) -> list[str]:
        """What a pod hears from these places, a line each; from some of them perhaps nothing."""
        # busybox's own time limit, wget -T, never ends where the address is one of IPv6.
        script = "; ".join(f"busybox timeout 3 busybox wget -q -O - {one} || echo" for one in urls)
        return self.kubectl("exec", pod, "--", "busybox", "sh", "-c", script, status=None).splitlines()

    def metrics(self, path: str) -> str:
        """What a component's metrics say of the feature."""
        lines = self.kubectl("get", "--raw", path).splitlines()
        return next(line for line in lines if line.startswith(f'kubernetes_feature_enabled{{name="{FEATURE}"'))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shaped]:
    engine, folder = machine.engine(), tmp_path_factory.mktemp("shape")
    port, registry = machine.free_ports(9474, 5043)
    (folder / "data").mkdir()
    (folder / "data" / "told").write_text("a mount\n")
    _company(folder / "company")
    images = {"images": [{"from": "daemon", "image": "sandbox.dev/busybox", "as": "probe:1"}]}
    (folder / "images.yaml").write_text(yaml.safe_dump(images))
    (folder / "app.yaml").write_text(yaml.safe_dump_all(objects(f"localhost:{registry}/probe:1")))
    cluster = {
        "kubernetes": system_images.for_spec(Spec(), context.home(), engine).kubernetes,
        "nodes": 2,
        "ip_family": "dual",
        "feature_gates": {FEATURE: False},
        "mounts": [
            {"host": "./data", "node": "/data", "read_only": True},
            {"host": "./company/root.pem", "node": "/etc/ssl/certs/company.pem", "read_only": True},
        ],
        "kind": KIND,
    }
    spec = {"name": NAME, "cluster": cluster, "registry": {"port": registry}, "edge": {"ports": [port]}}
    spec |= {"push": "images.yaml", "apply": ["app.yaml"]}
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    made = Shaped(context.home().sandbox(NAME), port, command, spec)
    made.write()
    try:
        command("up")
        # A worker that joins late is not missed by an `up`.
        wait_until(made.lacking, what="a pod on every node", timeout=90)
        yield made
    finally:
        command("down", NAME, "--purge", status=None)


def _company(folder: Path) -> None:
    now = datetime.now(UTC)
    root = make_root((COMPANY,), now=now)
    leaf = make_leaf(make_issuing(root, (COMPANY,), now=now), (COMPANY,), now=now)
    folder.mkdir()
    for name, content in {"root.pem": root.cert_pem, "served.crt": leaf.cert_pem, "served.key": leaf.key_pem}.items():
        (folder / name).write_bytes(content)


def test_nodes_pods_and_services_have_their_ip_families(sandbox: Shaped) -> None:
    for node in sandbox.cluster.list("v1", "Node"):
        found = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert families(found) == [4, 6], node["metadata"]["name"]
    pods = sandbox.pods()
    assert sorted(pods) == sorted(sandbox.nodes)
    for pod in pods.values():
        assert families([one["ip"] for one in pod["status"]["podIPs"]]) == [4, 6]
    for name, wanted in SERVICES.items():
        service = sandbox.cluster.get("v1", "Service", name, "default") or {}
        assert families(service["spec"]["clusterIPs"]) == [int(one[-1]) for one in wanted]


def silence(sandbox: Shaped) -> str | None:
    """What a pod does not hear: each node's pod at both its addresses, each Service at all of its and by its name."""
    if lacking := sandbox.lacking():
        return lacking
    pods = sandbox.pods()
    everywhere = {f"{url(one['ip'])}:8080/": node for node, pod in pods.items() for one in pod["status"]["podIPs"]}
    services = [sandbox.cluster.get("v1", "Service", name, "default") or {} for name in SERVICES]
    places = [f"{url(address)}/" for service in services for address in service["spec"]["clusterIPs"]]
    places += [f"http://{name}/" for name in SERVICES]
    for pod in pods.values():
        heard = sandbox.asked(pod["metadata"]["name"], *everywhere, *places)
        if heard[: len(everywhere)] != [f"{node} has a mount" for node in everywhere.values()]:
            return f"of {list(everywhere)}: {heard}"
        if not all(line.endswith(" has a mount") for line in heard[len(everywhere) :]):
            return f"of {places}: {heard[len(everywhere) :]}"
    return None


def test_pods_reach_each_other_and_services_by_either_family(sandbox: Shaped) -> None:
    wait_until(partial(silence, sandbox), what="pods that reach each other", timeout=180)


@pytest.mark.parametrize("service", SERVICES)
def test_service_of_any_family_is_served_through_the_edge(sandbox: Shaped, service: str) -> None:
    sandbox.serves(host(service))
    assert "has a mount" in sandbox.curl(host(service))


def test_feature_gate_is_off_in_api_server_and_every_kubelet(sandbox: Shaped) -> None:
    for path in ("/metrics", *(f"/api/v1/nodes/{node}/proxy/metrics" for node in sandbox.nodes)):
        assert sandbox.metrics(path).endswith(" 0"), path


def test_mounts_are_in_every_node_and_cannot_be_written_to(sandbox: Shaped) -> None:
    for node in sandbox.nodes:
        assert tool("docker", "exec", node, "cat", "/data/told") == "a mount\n"
        assert "Read-only" in tool("docker", "exec", node, "touch", "/data/more", status=1)


def test_nodes_trust_an_authority_that_is_mounted_among_theirs(sandbox: Shaped) -> None:
    """The registry stands for any that is reached through a proxy which opens TLS; it has the sandbox's images."""
    engine = machine.engine()
    image = system_images.for_spec(Spec(), context.home(), engine).references["registry"]
    places = {sandbox.names.volume: "/var/lib/registry", str(sandbox.command.folder / "company"): "/tls"}
    pair = {"CERTIFICATE": "served.crt", "KEY": "served.key"}
    words = [word for path, place in places.items() for word in ("--volume", f"{path}:{place}:ro")]
    words += [word for key, file in pair.items() for word in ("--env", f"REGISTRY_HTTP_TLS_{key}=/tls/{file}")]
    words += ["--env", "OTEL_TRACES_EXPORTER=none", "--network", sandbox.names.network, "--network-alias", COMPANY]
    tool("docker", "run", "--detach", "--name", CONTAINER, *words, image)
    try:
        for node in sandbox.nodes:

            def unpulled(node: str = node) -> str | None:
                said = tool("docker", "exec", node, "crictl", "pull", f"{COMPANY}:5000/probe:1", status=None)
                return None if "Image is up to date" in said else said

            wait_until(unpulled, what=f"the image on {node}", timeout=60)
    finally:
        tool("docker", "rm", "--force", CONTAINER)


def test_kind_config_reaches_kubeadm_kubelets_and_containerd(sandbox: Shaped) -> None:
    nodes = {one["metadata"]["name"]: one for one in sandbox.cluster.list("v1", "Node")}
    for name, node in nodes.items():
        assert node["status"]["capacity"]["pods"] == "50", name
        assert node["status"]["nodeInfo"]["kubeletVersion"] == sandbox.spec["cluster"]["kubernetes"]
        tables = tool("docker", "exec", name, "nft", "list", "tables")
        assert {"table ip kube-proxy", "table ip6 kube-proxy"} <= set(tables.splitlines())
        assert "level=debug" in tool("docker", "exec", name, "journalctl", "--unit=containerd", "--lines=2000")
    assert API in sandbox.kubectl("api-versions").split()
    server = yaml.safe_load(sandbox.names.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    place, _, port = server.rpartition("//")[2].rpartition(":")
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate((place, int(port))).encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert SERVER_NAME in names.get_values_for_type(x509.DNSName)


def test_after_a_stop_it_has_both_families_again(sandbox: Shaped) -> None:
    sandbox.command("stop")
    sandbox.command("start")
    wait_until(partial(silence, sandbox), what="pods that reach each other", timeout=180)
    sandbox.serves(host("six"))
    assert sandbox.command("up", "--plan").out == ""


@pytest.mark.parametrize(
    ("key", "value"), [("ip_family", "ipv4"), ("feature_gates", {}), ("mounts", []), ("kind", {"networking": {}})]
)
def test_changed_shape_needs_recreation_and_is_refused(sandbox: Shaped, key: str, value: object) -> None:
    sandbox.write(**{key: value})
    try:
        ran = sandbox.command("up", status=1)
        assert f"it was made with another {key}" in ran.err and "--recreate cluster" in ran.err
    finally:
        sandbox.write()
    assert sandbox.command("up", "--plan").out == ""


def test_version_without_an_image_is_refused_naming_available(sandbox: Shaped) -> None:
    sandbox.write(kubernetes="v1.30.1")
    try:
        ran = sandbox.command("up", status=2)
        assert "v1.30.1" in ran.err and sandbox.spec["cluster"]["kubernetes"] in ran.err
    finally:
        sandbox.write()
    assert {state for state, _ in sandbox.command.steps().values()} == {"ready"}
