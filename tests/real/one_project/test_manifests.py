"""Manifests as projects have them, in a real cluster: an overlay, Jobs, other kinds, names of images, a chart."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.app import context
from tests.real.machine import tool
from tests.real.one_project.conftest import DOCKERFILE, NAME, Made
from tests.support import bundled

pytestmark = [pytest.mark.real, pytest.mark.nightly]

HOST = f"web.{NAME}.sandbox.localhost"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "ghcr.io/acme/web:v1", imagePullPolicy: Never, ports: [{containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {cert-manager.io/cluster-issuer: letsencrypt}}
spec:
  tls: [{hosts: [HOST], secretName: web-tls}]
  rules:
  - host: HOST
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
""".replace("HOST", HOST)
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: seed}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: seed, image: web, command: [busybox, echo, "SAID"]}]
"""
OWN = """\
apiVersion: example.com/v1
kind: Widget
metadata: {name: mine}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: ConfigMap
metadata: {generateName: settings-}
"""
CHART = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: charted}}
  template:
    metadata: {labels: {app: charted}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: web, image: "acme/web:{{ .Chart.AppVersion }}"}]}
"""
HOOK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hooked, annotations: {helm.sh/hook: post-install}}
"""
DATABASE = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: db
        image: web
        readinessProbe: {periodSeconds: 1, exec: {command: [busybox, "true"]}}
"""
SPEC = """\
apiVersion: sandbox.dev/v1
name: NAME
push: images.yaml
edge: {ports: auto}
registry: {port: auto}
apply: [overlays/dev, extra, JOBS]
""".replace("NAME", NAME)


@dataclass(frozen=True)
class Project(Made):
    def up(self, *, status: int | None = 0) -> str:
        done = self.command("up", "--progress", "plain", status=status)
        return done.out + done.err

    def page(self) -> str:
        out = self.command("up").out
        url = next(line.split()[0] for line in out.splitlines() if line.startswith(f"https://{HOST}"))
        port = re.search(r":(\d+)/", url)
        where = f"{HOST}:{port[1] if port else 443}:127.0.0.1"
        root = self.names.root_certificate
        return tool("curl", "--silent", "--fail", "--resolve", where, "--cacert", root, url)

    def image(self, name: str = "web", namespace: str = "shop") -> str:
        live = self.cluster.get("apps/v1", "Deployment", name, namespace)
        assert live is not None
        return str(live["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="module")
def project(made: Made) -> Project:
    """An overlay, a Job, a kind of its own, and an image that the overlay names otherwise."""
    project = Project(made.command, "")
    project.write("app/Dockerfile", DOCKERFILE)
    project.write("app/index.html", "first\n")
    project.write("images.yaml", "images: [{from: build, context: app, as: 'acme/web:dev'}]\n")
    project.write("base/kustomization.yaml", "resources: [web.yaml]\n")
    project.write("base/web.yaml", WEB)
    project.write("overlays/dev/kustomization.yaml", "namespace: shop\nresources: [../../base, namespace.yaml]\n")
    project.write("overlays/dev/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    project.write("extra/own.yaml", OWN)
    project.write("job.yaml", JOB.replace("SAID", "one"))
    project.write("sandbox.yaml", SPEC.replace("JOBS", "job.yaml"))
    project.up()
    return project


def test_overlay_runs_with_its_image_name_and_missing_secret(project: Project) -> None:
    assert project.page() == "first\n"
    assert re.fullmatch(r"localhost:\d+/acme/web:dev@sha256:[0-9a-f]{64}", project.image())
    assert project.cluster.get("example.com/v1", "Widget", "mine", "default") is not None
    assert any(
        one["metadata"]["name"].startswith("settings-") for one in project.cluster.list("v1", "ConfigMap", "default")
    )
    assert project.command("up", "--plan").out == ""


def test_changed_file_is_built_pushed_and_rolled_out_by_up(project: Project) -> None:
    before = project.image()
    project.write("app/index.html", "second\n")
    assert "repair" in project.command("up", "--plan", "--check", status=1).out
    project.up()
    assert project.page() == "second\n"
    assert project.image() != before
    assert project.command("up", "--plan").out == ""


def test_changed_job_runs_again_other_fixed_field_is_explained(project: Project) -> None:
    first = project.cluster.get("batch/v1", "Job", "seed", "default")
    project.write("job.yaml", JOB.replace("SAID", "two"))
    project.up()
    again = project.cluster.get("batch/v1", "Job", "seed", "default")
    assert first and again and first["metadata"]["uid"] != again["metadata"]["uid"]
    project.write("base/web.yaml", WEB.replace("app: web", "app: other"))
    said = project.up(status=1)
    assert "Deployment shop/web exists and cannot be changed this way" in said
    assert f"kubectl --context sandbox-{NAME} delete deployment web --namespace=shop" in said
    project.write("base/web.yaml", WEB)
    project.up()


def test_failed_build_keeps_cluster_and_unknown_class_is_named(project: Project) -> None:
    project.write("app/Dockerfile", "FROM sandbox.dev/busybox\nRUN false\n")
    assert "not pushed" in project.up(status=1)
    assert project.cluster.trouble() is None
    project.write("app/Dockerfile", DOCKERFILE)
    project.write("base/web.yaml", WEB.replace("spec:\n  tls", "spec:\n  ingressClassName: alb\n  tls"))
    assert "has the class 'alb', which no controller here serves" in project.up(status=1)
    project.write("base/web.yaml", WEB)
    project.up()


def test_broken_pod_of_an_earlier_revision_is_replaced(project: Project) -> None:
    project.write("db.yaml", DATABASE.replace("image: web", "image: acme.invalid/db:1"))
    project.write("sandbox.yaml", SPEC.replace("JOBS", "job.yaml, db.yaml"))
    assert "StatefulSet default/db cannot start" in project.up(status=1)
    project.write("db.yaml", DATABASE)
    project.up()
    project.write("db.yaml", DATABASE.replace('[busybox, "true"]', "[pg_isready]"))
    said = project.up(status=1)
    assert "pod db-1: Readiness probe errored" in said and 'exec: "pg_isready"' in said
    project.write("db.yaml", DATABASE)
    project.up()
    assert [one["metadata"]["name"] for one in project.cluster.list("v1", "Pod", "default", selector="app=db")] == [
        "db-0",
        "db-1",
    ]
    project.write("sandbox.yaml", SPEC.replace("JOBS", "job.yaml"))
    project.up()


def write_chart(project: Project) -> Path:
    helm = bundled.helm()
    project.write("charts/charted/Chart.yaml", "apiVersion: v2\nname: charted\nversion: 1.0.0\nappVersion: '7'\n")
    project.write("charts/charted/values.yaml", "replicas: 1\n")
    project.write("charts/charted/templates/web.yaml", CHART)
    project.write("charts/charted/templates/hook.yaml", HOOK)
    return helm.program


def test_a_chart_is_installed_upgraded_and_uninstalled(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_chart(project)
    project.write("dev.yaml", "replicas: 1\n")
    spec = SPEC.replace("JOBS", "job.yaml, {chart: charts/charted, namespace: charted, values: [dev.yaml]}")
    project.write("sandbox.yaml", spec)
    project.up()
    assert "localhost:" in project.image("charted", "charted")
    assert project.cluster.get("v1", "ConfigMap", "hooked", "charted") is not None
    assert project.command("up", "--plan").out == ""
    project.write("dev.yaml", "replicas: 2\n")
    assert (
        "charted: the chart, its values or its images have changed"
        in project.command("up", "--plan", "--check", status=1).out
    )
    project.up()
    live = project.cluster.get("apps/v1", "Deployment", "charted", "charted")
    assert live and live["status"]["readyReplicas"] == 2
    project.write("sandbox.yaml", SPEC.replace("JOBS", "job.yaml"))
    project.up()
    assert project.cluster.get("apps/v1", "Deployment", "charted", "charted") is None


@pytest.mark.nightly
@pytest.mark.fault(89)
def test_chart_of_a_registry_stays_as_it_is_locked(project: Project, tmp_path: Path) -> None:
    """Another archive is pushed under a version that is locked → what was pulled serves, and a new pull is refused."""
    helm = write_chart(project)
    found = re.search(r"^registry +(localhost:\d+)", project.up(), re.MULTILINE)
    assert found
    archive = tmp_path / "charted-1.2.3.tgz"

    def publish() -> str:
        tool(helm, "package", project.folder / "charts/charted", "--version=1.2.3", f"--destination={tmp_path}")
        tool(helm, "push", archive, f"oci://{found[1]}/charts", "--plain-http")
        return hashlib.sha256(archive.read_bytes()).hexdigest()

    locked = publish()
    chart = f"{{chart: 'oci://{found[1]}/charts/charted', version: 1.2.3, release: remote, namespace: remote}}"
    project.write("sandbox.yaml", SPEC.replace("JOBS", f"job.yaml, {chart}"))
    assert "not pulled: oci://" in project.command("up", "--plan", "--check", status=1).out
    project.up()
    assert project.image("remote", "remote").startswith("localhost:")
    assert f"sha256:{locked}" in (project.folder / "charts.lock.yaml").read_text()
    project.write("charts/charted/values.yaml", "replicas: 2\n")
    other = publish()
    assert project.command("up", "--plan").out == ""
    kept = context.home().charts / f"{locked}.tgz"
    kept.rename(tmp_path / "kept.tgz")
    said = project.up(status=1)
    assert f"locked sha256:{locked}" in said and f"found  sha256:{other}" in said
    (tmp_path / "kept.tgz").rename(kept)
    project.write("sandbox.yaml", SPEC.replace("JOBS", "job.yaml"))
    project.up()
    assert project.cluster.get("apps/v1", "Deployment", "remote", "remote") is None
