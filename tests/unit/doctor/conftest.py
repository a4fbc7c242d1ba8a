"""One sandbox on a machine whose engine is in memory, a TLS server as its edge, and a small API server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import subject_names
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.config.schema import ResolvedSpec
from sandbox.doctor.check import DoctorContext
from sandbox.doctor.request_trace import RequestTrace
from sandbox.engine import Bind, ContainerSpec
from sandbox.names import LABEL, Home
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.ports import free_ports
from tests.support.tls import TlsServer

IMAGE = "example.com/busybox:1"
DOMAIN = "demo.sandbox.localhost"
HOST = f"app.{DOMAIN}"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"  # where the server looks for those of all namespaces

Serve = Callable[..., TlsServer]


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(IMAGE)
    engine.shares = True
    return engine


@pytest.fixture
def context(place: Home, engine: FakeEngine) -> DoctorContext:
    registry, *edge = free_ports(3)
    spec = ResolvedSpec.model_validate({"name": "demo", "registry": {"port": registry}, "edge": {"ports": tuple(edge)}})
    return DoctorContext(spec, place, {}, engine, datetime.now(UTC), " -n demo")


@pytest.fixture
def keystore(context: DoctorContext) -> Keystore:
    """What `up` leaves on disk."""
    store = Keystore(context.names.keys)
    store.authority([context.spec.domain], now=context.now)
    return store


@pytest.fixture
def default(context: DoctorContext, keystore: Keystore) -> KeyPair:
    return keystore.leaf("default", subject_names(context.spec.domain), now=context.now)


def start(
    context: DoctorContext, engine: FakeEngine, name: str, *, sandbox: str = "demo", port: int = 0, role: str = ""
) -> None:
    """Run a container of a user's sandbox, which publishes `port`, or is a node with a `role`."""
    if NETWORK not in engine.networks:
        engine.create_network(NETWORK, context.names.labels)
    labels = {**context.home.labels, LABEL: sandbox}
    if role:
        labels = {"io.x-k8s.kind.cluster": context.names.cluster, "io.x-k8s.kind.role": role}
    publish = {5000: (Bind("127.0.0.1", port),)} if port else {}
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=labels, network=NETWORK, publish=publish))


def with_facts(context: DoctorContext, **facts: Any) -> DoctorContext:
    engine = context.engine
    assert isinstance(engine, FakeEngine)
    changed = replace(FakeEngine.facts(engine), **facts)
    engine.facts = lambda: changed  # type: ignore[method-assign]
    return context


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
