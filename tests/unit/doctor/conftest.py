"""One sandbox on a machine whose engine is in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import subject_names
from sandbox.config.schema import ResolvedSpec
from sandbox.doctor.check import DoctorContext
from sandbox.engine import Bind, ContainerSpec
from sandbox.names import LABEL, Home
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.ports import free_ports

IMAGE = "example.com/busybox:1"


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
