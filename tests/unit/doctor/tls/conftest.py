"""A sandbox with certificates, an edge that is a TLS server of the test's, and a small API server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.doctor.check import DoctorContext
from sandbox.doctor.tls.tls_context import RequestTrace
from tests.support.api_server import ApiServer
from tests.support.tls import TlsServer

DOMAIN = "demo.sandbox.localhost"
HOST = f"app.{DOMAIN}"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"  # where the server looks for those of all namespaces

Serve = Callable[..., TlsServer]


@pytest.fixture
def trace(context: DoctorContext) -> RequestTrace:
    """A request to a host of the sandbox, which has a route at its first port."""
    port = context.spec.edge.ports[0]
    routes.save(context.home.edge, Route("demo", DOMAIN, context.names.node, (("127.0.0.1", port),), 1.0))
    return RequestTrace(context, HOST, None, False)


@pytest.fixture
def serve(trace: RequestTrace, tmp_path: Path) -> Serve:
    """A TLS server where the edge would be, for the length of a block."""

    def make(leaf: KeyPair, response: bytes | None = None) -> TlsServer:
        server = TlsServer(leaf, tmp_path, port=trace.port)
        server.response = response
        return server

    return make


def ingress(server: ApiServer, *hosts: str, name: str = "app", within: str = "", **more: object) -> None:
    """Put an Ingress into the cluster, where those of all namespaces are read, or only those `within` one."""
    backend = {"service": {"name": "app", "port": {"number": 80}}}
    rules = [{"host": host, "http": {"paths": [{"path": "/", "backend": backend}]}} for host in hosts]
    metadata = {"name": name, "namespace": "web", "annotations": {}}
    folder = f"/apis/networking.k8s.io/v1/namespaces/{within}/ingresses" if within else INGRESSES
    server.objects[f"{folder}/{name}"] = {"metadata": metadata, "spec": {"rules": rules, **more}}
