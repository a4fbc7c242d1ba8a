"""A renewal in a running sandbox: the new certificate is served, and no client notices more than that."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.components.certificates import keyfiles, steps
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import domain_names
from sandbox.kube.api import Cluster
from sandbox.names import DOMAIN_TLS, SYSTEM_NAMESPACE, Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-renew"
DOMAIN = f"{NAME}.sandbox.localhost"
SWAPS = 100
# An application that ends TLS itself, and reads its certificate at its start only.
APP = f"app.{DOMAIN}"
CONFIG = """
global
  ssl-load-extra-del-ext
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend https
  bind :8443 ssl crt /tls/tls.crt
  http-request return status 200 content-type text/plain string "its own TLS"
"""
OBJECTS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app, namespace: default}}
spec:
  selector: {{matchLabels: {{app: app}}}}
  template:
    metadata: {{labels: {{app: app}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: app
        image: localhost:REGISTRY/haproxy:1
        command: [haproxy, -db, -f, /config/haproxy.cfg]
        readinessProbe: {{tcpSocket: {{port: 8443}}, periodSeconds: 1}}
        securityContext: {{runAsUser: 65532, runAsGroup: 65532}}
        volumeMounts: [{{name: config, mountPath: /config}}, {{name: tls, mountPath: /tls}}]
      securityContext: {{fsGroup: 65532}}
      volumes:
      - {{name: config, configMap: {{name: app}}}}
      - {{name: tls, secret: {{secretName: app-tls}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: app, namespace: default}}
spec: {{selector: {{app: app}}, ports: [{{name: https, port: 443, targetPort: 8443}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: app
  namespace: default
  annotations: {{nginx.ingress.kubernetes.io/ssl-passthrough: "true"}}
spec:
  ingressClassName: nginx
  rules:
  - host: {APP}
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{name: https}}}}}}}}]}}
"""


@dataclass(frozen=True)
class Running:
    command: CommandLine
    names: Names
    port: int

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the sandbox, trusting its root alone; it stays open from request to request."""
        context = ssl.create_default_context(cafile=str(self.names.root_certificate))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection = http.client.HTTPConnection(DOMAIN, self.port)
        connection.sock = context.wrap_socket(plain, server_hostname=DOMAIN)  # not every system resolves the name
        return connection

    def certificates(self) -> dict[str, dict[str, Any]]:
        """What `certs show` says, by name."""
        shown = json.loads(self.command("certs", "show", "-o", "json").out)
        return {one["name"]: one for one in shown["certificates"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    machine.engine()
    folder = tmp_path_factory.mktemp("renewal")
    port, registry = machine.free_ports(8443, 5001)
    secret = {"secret": "app-tls", "namespace": "default", "hosts": [APP]}
    spec: dict[str, Any] = {"name": NAME, "registry": {"port": registry}, "edge": {"ports": [port]}}
    spec |= {"push": "images.yaml", "apply": ["k8s/"], "certs": {"secrets": [secret]}}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    images = [{"from": "daemon", "image": "sandbox.dev/haproxy", "as": "haproxy:1"}]
    (folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    (folder / "k8s").mkdir()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "default"}}
    text = yaml.safe_dump({**config, "data": {"haproxy.cfg": CONFIG}})
    (folder / "k8s" / "app.yaml").write_text(f"{text}---\n{OBJECTS.replace('REGISTRY', str(registry))}")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    try:
        command("up")
        yield Running(command, context.home().sandbox(NAME), port)
    finally:
        command("down", "--purge")


def swap(sandbox: Running) -> str:
    """Put another certificate of the same authority in the Secret and see it served; its fingerprint."""
    now = datetime.now(UTC)
    leaf = make_leaf(Keystore(sandbox.names.keys).issuing.read(), [DOMAIN], now=now)
    Cluster(sandbox.names.kubeconfig).apply(steps.tls_secret(SYSTEM_NAMESPACE, DOMAIN_TLS, leaf))
    wanted = describe(leaf.cert_pem, now=now).sha256

    def unserved() -> str | None:
        connection = sandbox.connect()
        served = fingerprint(connection)
        connection.close()
        return None if served == wanted else served

    wait_until(unserved, what="the new certificate", timeout=20, pause=0.02)
    return wanted


class Visitors(threading.Thread):
    """Clients that come one after the other until they are told to stop, each with a connection of its own."""

    def __init__(self, sandbox: Running) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.seen: list[str] = []
        self.failures: list[Exception] = []
        self._sandbox = sandbox

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                connection = self._sandbox.connect()
                self.seen.append(fingerprint(connection))
                status(connection)
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)


def fingerprint(connection: http.client.HTTPConnection) -> str:
    assert isinstance(connection.sock, ssl.SSLSocket)
    der = connection.sock.getpeercert(binary_form=True)
    assert der is not None
    return describe(ssl.DER_cert_to_PEM_cert(der).encode(), now=datetime.now(UTC)).sha256


def status(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_renewed_certificate_keeps_open_connections(running: Running) -> None:
    before = running.certificates()
    assert before["domain"]["secrets"] == ["sandbox-system/domain-tls"]
    held = running.connect()
    first, plain = status(held), held.sock
    visitors = Visitors(running)
    visitors.start()
    try:
        running.command("certs", "renew")
        assert (status(held), held.sock) == (first, plain)
        after = running.certificates()
        new = running.connect()
        assert fingerprint(new) == after["domain"]["sha256"] != before["domain"]["sha256"]
        assert after["root"]["sha256"] == before["root"]["sha256"]
        new.close()
    finally:
        visitors.ended.set()
        visitors.join()
    assert visitors.failures == []
    assert set(visitors.seen) <= {before["domain"]["sha256"], after["domain"]["sha256"]}
    held.close()
    running.command("status")


def test_hundred_renewals_under_load_fail_no_request(running: Running) -> None:
    held = running.connect()
    first, plain = status(held), held.sock
    visitors = Visitors(running)
    visitors.start()
    try:
        swapped = set()
        for number in range(SWAPS):
            swapped.add(swap(running))
            # Traefik ends a connection that no one has used for three minutes.
            if number % 10 == 0:
                assert (status(held), held.sock) == (first, plain)
    finally:
        visitors.ended.set()
        visitors.join()
    assert len(swapped) == SWAPS
    assert visitors.failures == []
    assert len(set(visitors.seen) & swapped) > SWAPS // 2, "the visitors came all the time"
    assert (status(held), held.sock) == (first, plain)
    held.close()
    running.command("up")


def restart(running: Running) -> None:
    for action in ("restart", "status"):
        machine.kubectl(running.names.kubeconfig, "--namespace=default", "rollout", action, "deployment/app")


def test_a_new_root_is_made_only_on_demand_and_then_served(running: Running) -> None:
    before = running.certificates()
    refused = running.command("certs", "renew", "--root", status=2)
    assert "add --yes" in refused.err
    assert running.certificates() == before
    running.command("certs", "renew", "--root", "--yes")
    after = running.certificates()
    assert all(after[name]["sha256"] != before[name]["sha256"] for name in before)
    connection = running.connect()
    assert fingerprint(connection) == after["domain"]["sha256"]
    connection.close()
    assert f"{APP} still serves an earlier certificate" in running.command("status").out
    restart(running)
    sandbox = Sandbox(running.names, running.port)
    sandbox.serves(APP)  # until the ingress has forgotten the pod that ends
    assert sandbox.curl(APP).endswith("its own TLS")
    assert f"{APP} still serves" not in running.command("status").out
    assert running.command("up", "--plan").out == ""


@pytest.mark.fault(28)
def test_expired_certificate_is_reported_and_recreated(running: Running) -> None:
    """The certificate in files and cluster ended ten days ago → `status` and `up --plan` say so, `up` makes another"""
    now, store = datetime.now(UTC), Keystore(running.names.keys)
    leaf = make_leaf(store.issuing.read(), domain_names(DOMAIN), now=now - timedelta(days=100))
    keyfiles.replace_all(store.folder, {store.leaf_files("domain").name: leaf})
    Cluster(running.names.kubeconfig).apply(steps.tls_secret(SYSTEM_NAMESPACE, DOMAIN_TLS, leaf))

    def accepted() -> str | None:
        try:
            running.connect().close()
        except ssl.SSLCertVerificationError as error:
            return None if "expired" in str(error) else str(error)
        return "clients still get the one before"

    wait_until(accepted, what="the end of it", timeout=20)
    ended = f"expired on {describe(leaf.cert_pem, now=now).not_after:%Y-%m-%d}"
    for command, status in (("status",), 1), (("certs", "show"), 1), (("up", "--plan", "--check"), 1):
        assert ended in running.command(*command, status=status).out
    running.command("up")
    connection = running.connect()
    assert fingerprint(connection) == running.certificates()["domain"]["sha256"]
    connection.close()
    running.command("status")


def test_up_serves_new_certificates_for_leaves_that_are_lost(running: Running) -> None:
    before = running.certificates()["domain"]["sha256"]
    for file in (running.names.keys / "leaves").iterdir():
        file.unlink()
    running.command("status", status=1)
    running.command("up")
    after = running.certificates()["domain"]
    assert after["secrets"] == ["sandbox-system/domain-tls"]
    connection = running.connect()
    assert fingerprint(connection) == after["sha256"] != before
    connection.close()
    running.command("status")
