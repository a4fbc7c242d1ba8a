"""Admission webhooks whose pods come up late: `up` waits for them, for objects, for pods and for a chart."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.app import context
from sandbox.kube.api import Cluster
from tests.real import machine
from tests.real.machine import CommandLine

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "late-webhooks"
SERVICE = "guard.guard.svc"
LATE = 30  # seconds that the webhook's pod takes, longer than what is wrong for good is waited for
SPEC = f"""\
name: {NAME}
edge: {{ports: auto}}
registry: {{port: auto}}
push: images.yaml
apply: [k8s, {{chart: chart, namespace: app}}]
"""
IMAGES = """\
images:
- {from: daemon, image: sandbox.dev/busybox, as: small}
- {from: daemon, image: sandbox.dev/haproxy, as: proxy}
"""
# Allows everything: the answer has the id of what was asked (AdmissionReview, admission.k8s.io/v1).
HAPROXY = """\
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
frontend hook
  bind :8443 ssl crt /pem/tls.pem
  option http-buffer-request
  http-request set-var(txn.uid) req.body,json_query('$.request.uid')
  http-request return status 200 content-type application/json lf-string '{"apiVersion":"admission.k8s.io/v1",\
"kind":"AdmissionReview","response":{"uid":"%[var(txn.uid)]","allowed":true}}'
"""
GUARD = """\
apiVersion: v1
kind: Namespace
metadata: {name: guard}
---
apiVersion: v1
kind: Namespace
metadata: {name: app, labels: {guarded: "yes"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: guard, namespace: guard}
spec:
  selector: {matchLabels: {app: guard}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: guard}}
    spec:
      terminationGracePeriodSeconds: 0
      initContainers: [{name: late, image: small, command: [busybox, sleep, "LATE"]}]
      containers:
      - name: guard
        image: proxy
        args: [-f, /cfg/haproxy.cfg]
        readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
        volumeMounts: [{name: cfg, mountPath: /cfg}, {name: pem, mountPath: /pem}]
      volumes: [{name: cfg, configMap: {name: haproxy}}, {name: pem, secret: {secretName: pem}}]
---
apiVersion: v1
kind: Service
metadata: {name: guard, namespace: guard}
spec: {selector: {app: guard}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 3
  namespaceSelector: {matchLabels: {guarded: "yes"}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps, pods]}]
  clientConfig: {caBundle: CA, service: {name: guard, namespace: guard, path: /, port: 443}}
"""
APP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: guarded, namespace: app}
data: {round: "ROUND"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, round: "ROUND"}}
    spec: {containers: [{name: web, image: small, command: [busybox, sleep, "86400"]}]}
"""
CHART = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: charted}\ndata: {round: "ROUND"}\n'


def certificate() -> tuple[bytes, bytes]:
    """A certificate for the webhook that is its own authority, and that with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVICE)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVICE)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return made, made + key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, plain)


@dataclass(frozen=True)
class Guarded:
    command: CommandLine

    @property
    def cluster(self) -> Cluster:
        return Cluster(context.home().sandbox(NAME).kubeconfig)

    def write(self, turn: int) -> None:
        """Have another content in all that the webhook is to allow."""
        folder = self.command.folder
        (folder / "k8s" / "app.yaml").write_text(APP.replace("ROUND", str(turn)), encoding="utf-8")
        (folder / "chart" / "templates" / "all.yaml").write_text(CHART.replace("ROUND", str(turn)), encoding="utf-8")

    def rounds(self) -> list[str]:
        """What the cluster has of it: two objects, and the pods that run."""
        found = [self.cluster.get("v1", "ConfigMap", name, "app") or {} for name in ("guarded", "charted")]
        pods = self.cluster.list("v1", "Pod", "app", selector="app=web")
        live = (
            one["metadata"]
            for one in pods
            if one["status"]["phase"] == "Running" and not one["metadata"].get("deletionTimestamp")
        )
        return [*(one.get("data", {}).get("round", "none") for one in found), *(one["labels"]["round"] for one in live)]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    machine.engine()
    folder = tmp_path_factory.mktemp("late")
    (folder / "k8s").mkdir()
    (folder / "chart" / "templates").mkdir(parents=True)
    (folder / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: charted\nversion: 1.0.0\n", encoding="utf-8")
    authority, pem = certificate()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pem", "namespace": "guard"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "haproxy", "namespace": "guard"}}
    objects = ({**secret, "stringData": {"tls.pem": pem.decode()}}, {**config, "data": {"haproxy.cfg": HAPROXY}})
    guard = GUARD.replace("LATE", str(LATE)).replace("CA,", f"{base64.b64encode(authority).decode()},")
    (folder / "k8s" / "guard.yaml").write_text(f"{guard}---\n{yaml.safe_dump_all(objects)}", encoding="utf-8")
    (folder / "sandbox.yaml").write_text(SPEC, encoding="utf-8")
    (folder / "images.yaml").write_text(IMAGES, encoding="utf-8")
    made = Guarded(CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder))
    made.write(1)
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


@pytest.mark.timeout(600)
def test_late_webhook_is_waited_for(guarded: Guarded) -> None:
    """The webhook's pod is gone and takes half a minute: objects, pods and a chart that it is to allow come all."""
    assert guarded.rounds() == ["1"] * 3
    guarded.cluster.delete("apps/v1", "Deployment", "guard", "guard", whole=True)
    guarded.write(2)
    guarded.command("up")
    assert guarded.rounds() == ["2"] * 3


@pytest.mark.timeout(600)
def test_webhook_that_never_answers_is_an_error_in_the_servers_words(guarded: Guarded) -> None:
    """The program of a webhook's pod ends again and again → `up` fails, with what the API server or the pod says."""
    guard = guarded.command.folder / "k8s" / "guard.yaml"
    guard.write_text(guard.read_text().replace("/cfg/haproxy.cfg", "/cfg/none.cfg").replace(f'"{LATE}"', '"0"'))
    guarded.write(3)
    failed = guarded.command("up", status=1)
    assert "failed calling webhook" in failed.err or "Deployment guard/guard cannot start" in failed.err
