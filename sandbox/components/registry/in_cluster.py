"""The registry in a cluster whose nodes are not ours: pushes by a port-forward only, pulls by nodes with a password.

Nodes trust no plain-http registry but one on their own loopback, which containerd and dockerd use without TLS
(containerd, core/remotes/docker/config/hosts.go; dockerd has 127.0.0.0/8 among its insecure registries). A NodePort is
such an address on every node. It is on their other addresses too, so every pull needs a password, and no one can push:
the registry that accepts pushes listens on the loopback of its pod, which only a port-forward reaches.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

NAME = "sandbox-registry"
PULL_SECRET = "sandbox-pull"  # noqa: S105  # a name
USER = "sandbox"
WRITE_PORT, READ_PORT = 5000, 5001
DATA = "/var/lib/registry"
SIZE = "10Gi"
NODE = "127.0.0.1"
# Enough for a word of 192 random bits, and tested at every request.
ROUNDS = 4

_COMMAND = ["registry", "serve", "/etc/distribution/config.yml"]
_COMMON = {
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": DATA,
    "REGISTRY_LOG_LEVEL": "warn",
    "OTEL_TRACES_EXPORTER": "none",
}
_WRITER = {"REGISTRY_HTTP_ADDR": f"127.0.0.1:{WRITE_PORT}", "REGISTRY_STORAGE_DELETE_ENABLED": "true"}
_READER = {
    "REGISTRY_HTTP_ADDR": f":{READ_PORT}",
    "REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}",
    "REGISTRY_AUTH": "htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM": "sandbox",
    "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
}


def name_on_nodes(node_port: int) -> str:
    return f"{NODE}:{node_port}"


def account() -> dict[str, Any]:
    """Return the Secret with a new password, and the hash by which the registry tests it."""
    import bcrypt

    password = secrets.token_urlsafe(24)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
    return _secret(NAME, "Opaque", {"password": password, "htpasswd": f"{USER}:{hashed}\n"})


def password(account: dict[str, Any]) -> str:
    return base64.b64decode(account["data"]["password"]).decode()


def pull_secret(node_port: int, password: str) -> dict[str, Any]:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {name_on_nodes(node_port): {"auth": auth}}})
    return _secret(PULL_SECRET, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": config})


def claim() -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SIZE}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": NAME}, "spec": spec}


def service() -> dict[str, Any]:
    spec = {
        "type": "NodePort",
        "selector": {"app": NAME},
        "ports": [{"name": "http", "port": READ_PORT, "targetPort": "read"}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


def node_port(service: dict[str, Any]) -> int:
    return int(service["spec"]["ports"][0]["nodePort"])


def deployment(image: str, *, disk: bool) -> dict[str, Any]:
    """Return a Deployment of one pod with both registries over the same data, lost with the pod without a disk."""
    volume = {"persistentVolumeClaim": {"claimName": NAME}} if disk else {"emptyDir": {"sizeLimit": SIZE}}
    writer = _container("write", image, _WRITER, read_only=False)
    reader = _container("read", image, _READER, read_only=True)
    reader["ports"] = [{"name": "read", "containerPort": READ_PORT}]
    reader["readinessProbe"] = {"tcpSocket": {"port": READ_PORT}, "periodSeconds": 1}
    reader["volumeMounts"].append({"name": "auth", "mountPath": "/auth", "readOnly": True})
    auth = {"secretName": NAME, "items": [{"key": "htpasswd", "path": "htpasswd"}]}
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [writer, reader],
        "volumes": [{"name": "data", **volume}, {"name": "auth", "secret": auth}],
    }
    # A disk can be attached to one pod at a time.
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": NAME}},
        "template": {"metadata": {"labels": {"app": NAME}}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec}


def _container(name: str, image: str, settings: dict[str, str], *, read_only: bool) -> dict[str, Any]:
    environment = {**_COMMON, **settings}
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": _COMMAND,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # Namespaces with a quota require both.
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": DATA, "readOnly": read_only}],
    }


def _secret(name: str, kind: str, content: dict[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": data}
