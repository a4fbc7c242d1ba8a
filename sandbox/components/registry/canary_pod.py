"""The proof that a node of a cluster pulls from a registry: a pod whose image comes, of which no more is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "sandbox-canary"
# A node that is told to pull by digest asks the registry even if it has the image.
_REFUSED = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "RegistryUnavailable"}
_UNRUNNABLE = {"CreateContainerError", "RunContainerError", "CrashLoopBackOff"}


def pod(image: str, pull_secret: str) -> dict[str, Any]:
    """Return the pod. What is in the image is no program, so that it ends as soon as its image is there."""
    container = {
        "name": "canary",
        "image": image,
        "imagePullPolicy": "Always",
        "command": ["/canary"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "imagePullSecrets": [{"name": pull_secret}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME}, "spec": spec}


def pulled(live: Mapping[str, Any]) -> bool:
    """Tell whether the image of the pod has come to its node."""
    state = _state(live)
    return "terminated" in state or "running" in state or _waiting(state) in _UNRUNNABLE


def refusal(live: Mapping[str, Any]) -> str | None:
    """Return what the node says of a pull that failed, or None."""
    waiting = _state(live).get("waiting") or {}
    return str(waiting.get("message") or waiting["reason"]) if waiting.get("reason") in _REFUSED else None


def pending(live: Mapping[str, Any]) -> str:
    """Return what it still waits for, in words."""
    status = live.get("status") or {}
    said = [str(one.get("message")) for one in status.get("conditions") or () if one.get("message")]
    return _waiting(_state(live)) or "; ".join(said) or "not on a node yet"


def _state(live: Mapping[str, Any]) -> Mapping[str, Any]:
    statuses = (live.get("status") or {}).get("containerStatuses") or [{}]
    return statuses[0].get("state") or {}


def _waiting(state: Mapping[str, Any]) -> str:
    return str((state.get("waiting") or {}).get("reason", ""))
