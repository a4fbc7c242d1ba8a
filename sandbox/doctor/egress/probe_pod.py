"""A throw-away pod: made, waited for, read and taken away, whatever happens meanwhile."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.readiness import troubles
from sandbox.system.wait import wait_until

NAMESPACE = "default"
LABEL = "sandbox.dev/doctor"
TIMEOUT = 90.0  # seconds, and for the pod itself too
LINES = 1000


def run(cluster: Cluster, image: str, command: Sequence[str]) -> str:
    """What a pod with `command` in `image` writes until it ends. Raises ClusterError and WaitTimeout."""
    for old in cluster.list("v1", "Pod", NAMESPACE, selector=LABEL):
        if old["status"].get("phase") in ("Succeeded", "Failed"):  # of a doctor that was killed
            cluster.delete("v1", "Pod", old["metadata"]["name"], NAMESPACE)
    name = f"sandbox-doctor-{secrets.token_hex(3)}"

    def state() -> str | None:
        live = cluster.get("v1", "Pod", name, NAMESPACE)
        if live is None:
            raise ClusterError(f"the pod {name} is gone", details="somebody deleted it")
        phase = live.get("status", {}).get("phase", "not scheduled")
        if phase in ("Succeeded", "Failed"):
            return None
        return "; ".join([phase, *(f"{reason}: {message}" for _, reason, message in troubles(live))])

    try:
        cluster.apply(_manifest(name, image, command))
        wait_until(state, what=f"the pod {NAMESPACE}/{name}", timeout=TIMEOUT)
        return cluster.log(name, NAMESPACE, lines=LINES)
    finally:
        with suppress(ClusterError):
            cluster.delete("v1", "Pod", name, NAMESPACE)


def _manifest(name: str, image: str, command: Sequence[str]) -> dict[str, Any]:
    container = {
        "name": "doctor",
        "image": image,
        "command": list(command),
        # For ping.
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: "true"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(TIMEOUT),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        },
    }
