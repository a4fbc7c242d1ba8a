"""A company's CA, named once: for pushes, charts, the first pulls of new nodes, and doctor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.behind import gateway
from tests.real.machine import CommandLine, tool
from tests.real.nameserver import Nameserver
from tests.support import bundled
from tests.support.http_server import serving

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME, CONTAINER = "test-company", "sandbox-test-company"
UNTRUSTED = "certificate"
CHART = Path(__file__).parent / "charts" / "page"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: probe}
spec: {containers: [{name: probe, image: "HOST/probe:1", command: [busybox, sleep, "100000"]}]}
"""


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """The CA's certificate; next to it are certificate and key of a server at the gateway's address."""
    folder, curve = tmp_path / "ca", ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    folder.mkdir()
    root, key = folder / "company.pem", folder / "company.key"
    tool("openssl", "req", "-x509", *curve, "-subj", "/O=Acme/CN=Acme Proxy CA", "-keyout", key, "-out", root)
    (folder / "names").write_text(f"subjectAltName=IP:{gateway()}\n")
    asked = folder / "served.csr"
    tool("openssl", "req", "-new", *curve, "-subj", "/CN=registry", "-keyout", folder / "served.key", "-out", asked)
    signed = ("-CA", root, "-CAkey", key, "-CAcreateserial", "-days", "30", "-extfile", folder / "names")
    tool("openssl", "x509", "-req", "-in", asked, *signed, "-out", folder / "served.crt")
    return root


@pytest.fixture
def registry(engine: Engine, ca: Path) -> Iterator[str]:
    (port,) = machine.free_ports(5444)
    host, image = f"{gateway()}:{port}", system_images.for_spec(Spec(), context.home(), engine).references["registry"]
    tls = {"CERTIFICATE": "served.crt", "KEY": "served.key"}
    words = [word for key, file in tls.items() for word in ("--env", f"REGISTRY_HTTP_TLS_{key}=/tls/{file}")]
    words += ["--volume", f"{ca.parent}:/tls:ro", "--env", "OTEL_TRACES_EXPORTER=none", "--publish", f"{host}:5000"]
    tool("docker", "run", "--detach", "--name", CONTAINER, *words, image)
    try:
        yield host
    finally:
        tool("docker", "rm", "--force", "--volumes", CONTAINER)


@pytest.fixture
def engine() -> Engine:
    return machine.engine()


@pytest.fixture
def nameserver(engine: Engine) -> Iterator[str]:
    """One that knows no name: doctor goes on only where the sandbox's answer."""
    with serving(Nameserver(gateway(), {})) as server:
        yield str(server.server_address[0])


def test_company_ca_is_named_once_for_everything(tmp_path: Path, ca: Path, registry: str, nameserver: str) -> None:
    command = CommandLine({"KUBECONFIG": str(tmp_path / "kubeconfig")}, tmp_path)
    own, https = machine.free_ports(5045, 9475)
    kubeconfig = context.home().sandbox(NAME).kubeconfig

    def write(**more: object) -> None:
        spec = {"name": NAME, "registry": {"port": own, "mirrors": [registry]}, "edge": {"ports": [https]}, **more}
        (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(spec))

    def images(*entries: dict[str, str]) -> str:
        (tmp_path / "images.yaml").write_text(yaml.safe_dump({"images": list(entries)}))
        return "images.yaml"

    (tmp_path / "pod.yaml").write_text(POD.replace("HOST", registry))
    made = {"from": "daemon", "image": "sandbox.dev/busybox"}
    listed = images({**made, "as": "probe:1"}, {**made, "as": "copied:1"})
    push = ("push-images", listed, "--registry", f"https://{registry}")
    write()
    assert UNTRUSTED in command(*push, status=1).err
    network = {"ca": str(ca), "nameservers": [nameserver]}
    write(network=network)
    command(*push)
    helm = bundled.helm().program
    tool(helm, "package", CHART, "--destination", tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    tool(helm, "push", archive, f"oci://{registry}/charts", "--ca-file", ca)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    about = {"chart": f"oci://{registry}/charts/{chart['name']}", "version": str(chart["version"])}
    charts = [{**about, "set": {"image": f"localhost:{own}/copy:1"}}]
    images({"image": f"{registry}/copied:1", "as": "copy:1"})  # the pod's own image nodes have by the mirror
    write(network=network, push="images.yaml", apply=["pod.yaml", *charts])
    try:
        command("up")

        def runs(pod: str) -> None:
            phase = ("get", "pod", pod, "-o", "jsonpath={.status.phase}")
            wait_until(
                lambda: None if machine.kubectl(kubeconfig, *phase) == "Running" else "not running",
                what=pod,
                timeout=60,
            )

        runs("probe")
        tls = command.doctor("network", "--to", registry)["outbound.tls"]
        assert tls["status"] == "ok" and "by Acme, the company's CA: TLS is opened on the way" in tls["evidence"]
        tool("docker", "stop", CONTAINER)  # only the mirror has the image now
        again = ("--image", f"{registry}/probe:1", "--image-pull-policy", "Always")
        machine.kubectl(kubeconfig, "run", "again", *again, "--", "busybox", "sleep", "1000")
        runs("again")
    finally:
        command("down", NAME, "--purge", status=None)
