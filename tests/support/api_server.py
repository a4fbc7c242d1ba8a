"""A small Kubernetes API server that keeps objects and remembers how it was asked, with a kubeconfig for it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.support import http_server

KINDS = {
    "/api/v1": {
        "ConfigMap": ("configmaps", True),
        "Event": ("events", True),
        "Namespace": ("namespaces", False),
        "Node": ("nodes", False),
        "PersistentVolume": ("persistentvolumes", False),
        "PersistentVolumeClaim": ("persistentvolumeclaims", True),
        "Pod": ("pods", True),
        "Secret": ("secrets", True),
        "Service": ("services", True),
        "ServiceAccount": ("serviceaccounts", True),
    },
    "/apis/apps/v1": {
        "DaemonSet": ("daemonsets", True),
        "Deployment": ("deployments", True),
        "ReplicaSet": ("replicasets", True),
        "StatefulSet": ("statefulsets", True),
    },
    "/apis/batch/v1": {"CronJob": ("cronjobs", True), "Job": ("jobs", True)},
    "/apis/networking.k8s.io/v1": {
        "Ingress": ("ingresses", True),
        "IngressClass": ("ingressclasses", False),
        "NetworkPolicy": ("networkpolicies", True),
    },
    "/apis/rbac.authorization.k8s.io/v1": {
        "ClusterRole": ("clusterroles", False),
        "ClusterRoleBinding": ("clusterrolebindings", False),
        "Role": ("roles", True),
        "RoleBinding": ("rolebindings", True),
    },
    "/apis/discovery.k8s.io/v1": {"EndpointSlice": ("endpointslices", True)},
    "/apis/apiextensions.k8s.io/v1": {"CustomResourceDefinition": ("customresourcedefinitions", False)},
    "/apis/admissionregistration.k8s.io/v1": {
        "MutatingWebhookConfiguration": ("mutatingwebhookconfigurations", False),
        "ValidatingWebhookConfiguration": ("validatingwebhookconfigurations", False),
    },
}
POLICIES = {
    "MutatingAdmissionPolicy": ("mutatingadmissionpolicies", False),
    "MutatingAdmissionPolicyBinding": ("mutatingadmissionpolicybindings", False),
}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Admit = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):
    """What is applied is not let in: the status, and the message."""


class ApiServer(ThreadingHTTPServer):
    """Objects by path; `refusal` is what the next writes get.

    `admit` gives what is kept of an object that is applied, with what the cluster adds to it, or raises Refused; `may`
    says whether a verb may be done to a resource.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Any] = {}
        self.kinds = {base: dict(kinds) for base, kinds in KINDS.items()}
        self.asked: list[tuple[str, str, str, dict[str, list[str]]]] = []
        self.refusal: tuple[int, bytes] | None = None
        self.admit: Admit = lambda manifest: manifest
        self.may: Callable[[str, str], bool] = lambda verb, resource: True


class Handler(http_server.Handler):
    server: ApiServer

    def answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.reply(status, data)

    def missing(self) -> None:
        self.answer(404, {"kind": "Status", "message": "not found"})

    def note(self) -> tuple[str, bytes]:
        parts = urlsplit(self.path)
        self.server.asked.append(
            (self.command, parts.path, self.headers.get("Content-Type", ""), parse_qs(parts.query))
        )
        return parts.path, self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        path, _ = self.note()
        if path == "/readyz":
            self.answer(200, b"ok")
        elif path == "/apis":
            groups = [base.removeprefix("/apis/") for base in self.server.kinds if base.startswith("/apis/")]
            self.answer(200, {"groups": [{"preferredVersion": {"groupVersion": group}} for group in groups]})
        elif path in self.server.kinds:
            kinds = self.server.kinds[path].items()
            verbs = ["get", "list", "patch", "delete"]
            rows = [
                {"kind": kind, "name": name, "namespaced": inside, "verbs": verbs} for kind, (name, inside) in kinds
            ]
            self.answer(200, {"resources": [*rows, {"kind": "Scale", "name": "pods/scale", "namespaced": True}]})
        elif path.endswith("/log"):
            self.answer(200, b"last words\n")
        elif path in self.server.objects:
            self.answer(200, self.server.objects[path])
        elif any(path.endswith("/" + name) for kinds_of in self.server.kinds.values() for name, _ in kinds_of.values()):
            base, _, plural = path.rpartition("/")
            (selector,) = parse_qs(urlsplit(self.path).query).get("labelSelector", [""])
            items = [
                {key: value for key, value in live.items() if key != "kind"}
                for place, live in self.server.objects.items()
                if place.startswith(f"{base}/") and place.split("/")[-2] == plural
                if is_selected(live["metadata"].get("labels") or {}, selector)
            ]
            most = int(parse_qs(urlsplit(self.path).query).get("limit", ["0"])[0]) or len(items)
            more = {"continue": "more"} if len(items) > most else {}
            # Of metadata alone a server has no empty list: PartialObjectMetadataList has a nil slice of Go's.
            none: list[Any] | None = None if "PartialObjectMetadataList" in self.headers.get("Accept", "") else []
            self.answer(200, {"metadata": more, "items": items[:most] or none})
        else:
            self.missing()

    def do_PATCH(self) -> None:
        path, body = self.note()
        if self.server.refusal:
            self.answer(*self.server.refusal)
            return
        before = self.server.objects.get(path)
        if "merge-patch" in self.headers.get("Content-Type", ""):
            change = json.loads(body)
            if before is None:
                self.missing()
            elif not isinstance(change, dict):
                self.answer(400, {"kind": "Status", "message": "error decoding patch"})
            else:
                merge(before, change)
                if before["metadata"].get("deletionTimestamp") and not before["metadata"].get("finalizers"):
                    self.server.objects.pop(path)
                self.answer(200, before)
            return
        try:
            live = self.server.admit(json.loads(body))
        except Refused as refused:
            status, message = refused.args
            self.answer(status, {"kind": "Status", "message": message})
            return
        if before and (before.get("metadata") or {}).get("deletionTimestamp"):
            self.answer(200, before)  # changed, and yet it ends
            return
        if "dryRun" not in parse_qs(urlsplit(self.path).query):
            self.server.objects[path] = live
        self.answer(200, live)

    def do_POST(self) -> None:
        path, body = self.note()
        account = self.server.objects.get(path.removesuffix("/token"))
        if path.endswith("/token") and account:
            self.answer(201, {"status": {"token": token(account["metadata"].get("uid", ""), json.loads(body))}})
            return
        if path != REVIEWS:
            self.missing()
            return
        asked = json.loads(body)["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked["subresource"])))
        self.answer(201, {"status": {"allowed": self.server.may(asked["verb"], resource)}})

    def do_DELETE(self) -> None:
        path, _ = self.note()
        live = self.server.objects.get(path)
        if live is None:
            self.missing()
        elif (live.get("metadata") or {}).get("finalizers"):
            live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.answer(200, live)
        else:
            self.server.objects.pop(path)
            self.answer(200, {})


def is_selected(labels: Mapping[str, str], selector: str) -> bool:
    """Whether labels are those of a selector: keys between commas, with or without a value, or not of some."""
    return all(_has(labels, one.strip()) for one in re.split(r",(?![^(]*\))", selector) if one)


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    if found := re.fullmatch(r"(\S+) notin \((.*)\)", wanted):
        return labels.get(found[1]) not in re.split(", *", found[2])
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def merge(live: dict[str, Any], change: dict[str, Any]) -> None:
    """Change `live` as a merge patch says (RFC 7396)."""
    for key, value in change.items():
        if value is None:
            live.pop(key, None)
        elif isinstance(value, dict):
            merge(live.setdefault(key, {}), value)
        else:
            live[key] = value


def token(uid: str, request: dict[str, Any]) -> str:
    """A token as the API server makes them, but for the signature."""
    ends = time.time() + request["spec"]["expirationSeconds"]
    claims = {"exp": ends, "kubernetes.io": {"serviceaccount": {"uid": uid}}}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def serving() -> AbstractContextManager[ApiServer]:
    """A server without objects, on a free port of 127.0.0.1, for the length of the block."""
    return http_server.serving(ApiServer())


def kubeconfig(path: Path, port: int, *, context: str = "x") -> Path:
    """Write a kubeconfig for the server at `port`, with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "x", "user": {"token": "secret"}}],
        "contexts": [{"name": context, "context": {"cluster": "x", "user": "x"}}],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(content))
    return path
