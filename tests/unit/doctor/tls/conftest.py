"""A sandbox with certificates, an edge that is a TLS server of the test's, and a small API server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.doctor.check import DoctorContext
from sandbox.doctor.tls.tls_context import RequestTrace
from tests.support.api_server import ApiServer
from tests.support.tls import presenting

DOMAIN = "demo.sandbox.localhost"
HOST = f"app.{DOMAIN}"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"  # where the server looks for those of all namespaces

Serve = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def trace(context: DoctorContext) -> RequestTrace:
    """A request to a host of the sandbox, which has a route at its first port."""
    port = context.spec.edge.ports[0]
    routes.save(context.home.edge, Route("demo", DOMAIN, context.names.node, (("127.0.0.1", port),), 1.0))
    return RequestTrace(context, HOST, None, False)


@pytest.fixture
def serve(trace: RequestTrace, tmp_path: Path) -> Serve:
    """A TLS server where the edge would be, for the length of a block."""

    @contextmanager
    def serving(leaf: KeyPair, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\nhello") -> Iterator[None]:
        context = presenting(leaf, tmp_path)
        with socket.create_server(("127.0.0.1", trace.port)) as listener:
            thread = threading.Thread(target=_accept, args=(listener, context, answer))
            thread.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    return serving


def _accept(listener: socket.socket, context: ssl.SSLContext, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down
            return
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            if secured.recv(4096):
                secured.sendall(answer)


def ingress(
    server: ApiServer,
    *hosts: str,
    name: str = "app",
    service: str = "app",
    port: int = 80,
    within: str = "",
    **more: object,
) -> None:
    """Put an Ingress into the cluster, where those of all namespaces are read, or only those `within` one."""
    backend = {"service": {"name": service, "port": {"number": port}}}
    rules = [{"host": host, "http": {"paths": [{"path": "/", "backend": backend}]}} for host in hosts]
    annotations = more.pop("annotations", {})
    metadata = {"name": name, "namespace": "web", "annotations": annotations}
    folder = f"/apis/networking.k8s.io/v1/namespaces/{within}/ingresses" if within else INGRESSES
    server.objects[f"{folder}/{name}"] = {"metadata": metadata, "spec": {"rules": rules, **more}}


def asking(trace: RequestTrace, host: str) -> RequestTrace:
    return replace(trace, host=host)
