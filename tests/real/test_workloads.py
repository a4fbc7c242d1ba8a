"""Workloads of many kinds come up in a real cluster; those that cannot are named soon, all of them, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.kube.api import Cluster
from tests.real import machine
from tests.real.machine import CommandLine

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "workloads"
SPEC = f"""\
apiVersion: sandbox.dev/v1
name: {NAME}
push: images.yaml
edge: {{ports: auto}}
registry: {{port: auto}}
apply: [good, bad]
"""
# Ends twice before it runs, as a program does whose database is starting.
GOOD = """\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: limited}}
- apiVersion: v1
  kind: ResourceQuota
  metadata: {name: small, namespace: limited}
  spec: {hard: {pods: "3", requests.cpu: 100m}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: closed, namespace: limited}
  spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: data, namespace: limited}
spec:
  serviceName: data
  selector: {matchLabels: {app: data}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
  template:
    metadata: {labels: {app: data}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: data
        image: small
        command: [busybox, sleep, "86400"]
        resources: {requests: {cpu: 10m}}
        volumeMounts: [{name: data, mountPath: /data}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: healing}
spec: {minAvailable: 1, selector: {matchLabels: {app: healing}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: healing}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: healing}
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: daily}
spec:
  schedule: "0 3 * * *"
  timeZone: Europe/Berlin
  jobTemplate:
    spec:
      template: {spec: {restartPolicy: Never, containers: [{name: daily, image: small, command: [busybox, date]}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {generateName: once-}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: once, image: small, command: [busybox, date]}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: healing}
spec:
  selector: {matchLabels: {app: healing}}
  template:
    metadata: {labels: {app: healing}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: healing
        image: small
        command: [busybox, sh, -c, "echo >> /kept/runs; [ $(busybox wc -l < /kept/runs) -gt 2 ] || exit 1; exec sleep 86400"]
        resources: {requests: {cpu: 10m}}
        volumeMounts: [{name: kept, mountPath: /kept}]
      volumes: [{name: kept, emptyDir: {}}]
"""  # noqa: E501
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: CALLED}
spec:
  selector: {matchLabels: {app: CALLED}}
  template:
    metadata: {labels: {app: CALLED}}
    spec:
      terminationGracePeriodSeconds: 0
"""
BAD = {
    "lost": """\
      containers: [{name: app, image: small, command: [no-such-program]}]
""",
    "crashing": """\
      containers: [{name: app, image: small, command: [busybox, sh, -c, "echo no database; exit 3"]}]
""",
    "prepared": """\
      initContainers: [{name: before, image: small, command: [busybox, sh, -c, "echo cannot migrate; exit 4"]}]
      containers: [{name: app, image: small, command: [busybox, sleep, "86400"]}]
""",
    "unsecret": """\
      containers:
      - {name: app, image: small, command: [busybox, sleep, "86400"], envFrom: [{secretRef: {name: login}}]}
""",
    "hungry": """\
      containers:
      - name: app
        image: small
        command: [busybox, sh, -c, "x=$(busybox head -c 90000000 /dev/zero | busybox tr '\\\\0' x); exec sleep 86400"]
        resources: {limits: {memory: 24Mi}}
""",
}
SAID = {
    "lost": 'exec: "no-such-program": executable file not found',
    "crashing": "exit code 3",
    "prepared": "container before: ",
    "unsecret": 'CreateContainerConfigError: secret "login" not found',
    "hungry": "OOMKilled, exit code 137",
}


@dataclass(frozen=True)
class Project:
    command: CommandLine

    def write(self, path: str, text: str) -> None:
        file = Path(self.command.folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    machine.engine()
    folder = tmp_path_factory.mktemp("project")
    made = Project(CommandLine({"KUBECONFIG": str(folder.parent / "kubeconfig")}, folder))
    made.write("sandbox.yaml", SPEC)
    made.write("images.yaml", "images: [{from: build, context: small, as: 'small:1'}]\n")
    made.write("small/Dockerfile", "FROM sandbox.dev/busybox\n")
    made.write("good/good.yaml", GOOD)
    made.write("bad/none.yaml", "")
    try:
        made.command("up", timeout=900)
        yield made
    finally:
        made.command("down", "--purge", status=None)


def test_workloads_of_many_kinds_and_one_that_heals_are_up(project: Project) -> None:
    project.command("status")
    cluster = Cluster(context.home().sandbox(NAME).kubeconfig)
    for kind, name, namespace in (("Deployment", "healing", "default"), ("StatefulSet", "data", "limited")):
        found = cluster.get("apps/v1", kind, name, namespace)
        assert found and found["status"]["readyReplicas"] == 1, name
    (healed,) = cluster.list("v1", "Pod", "default", selector="app=healing")
    assert healed["status"]["containerStatuses"][0]["restartCount"] == 2
    (once,) = cluster.list("batch/v1", "Job", "default")
    assert once["metadata"]["name"].startswith("once-") and once["status"]["succeeded"] == 1
    assert cluster.get("batch/v1", "CronJob", "daily", "default") is not None
    assert cluster.get("networking.k8s.io/v1", "NetworkPolicy", "closed", "limited") is not None


@pytest.mark.fault(64)
def test_all_that_cannot_start_are_named_with_their_reason(project: Project) -> None:
    """Five pods that cannot start, each in its way → all are named by one error, with the reason."""
    for name, containers in BAD.items():
        project.write(f"bad/{name}.yaml", DEPLOYMENT.replace("CALLED", name) + containers)
    failed = project.command("up", "--progress", "plain", status=1)
    said = failed.out + failed.err
    for name, reason in SAID.items():
        assert f"Deployment default/{name}" in said and reason in said, said
    assert "no database" in said and "cannot migrate" in said
    for name in BAD:
        Path(project.command.folder, f"bad/{name}.yaml").unlink()
    project.command("up")
