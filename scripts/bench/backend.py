"""A download of 1 GB behind the sandbox's ingress, served by this process, so that no image is needed for it."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from types import TracebackType
from typing import Any, Self

from sandbox.engine import Engine, container_host
from sandbox.kube.api import Cluster
from sandbox.names import Names

SIZE = 1_000_000_000
NAME = "sandbox-bench-bulk"


class Bulk:
    """While it is entered, `https://HOST/` of the sandbox answers with 1 GB of zeros."""

    def __init__(self, names: Names, domain: str) -> None:
        self.host = f"bulk.{domain}"
        self._cluster = Cluster(names.kubeconfig)
        engine = Engine.connect()
        network = container_host.joined(engine, names.network)
        gateway = network.gateway or str(next(IPv4Network(network.subnet).hosts()))
        self._server = ThreadingHTTPServer((gateway, 0), _Zeros)
        self._objects = _objects(self.host, gateway, self._server.server_port)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._cluster.apply_all(self._objects)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._objects:
            self._cluster.delete(one["apiVersion"], one["kind"], NAME, "default")
        self._server.shutdown()


class _Zeros(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base class's name
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        piece = memoryview(mmap.mmap(-1, 1_000_000))
        for _ in range(SIZE // len(piece)):
            self.wfile.write(piece)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


def _objects(host: str, address: str, port: int) -> list[Mapping[str, Any]]:
    metadata = {"name": NAME, "namespace": "default"}
    backend = {"service": {"name": NAME, "port": {"number": 80}}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"port": 80, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "ports": [{"port": port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata,
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
            },
        },
    ]
