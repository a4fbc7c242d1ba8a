"""Who holds a port, told of real listeners and of containers in memory."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import replace

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import ports_checks
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Status
from sandbox.engine import Bind, ContainerSpec
from sandbox.names import EDGE
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import IMAGE
from tests.unit.doctor.test_engine_checks import told


def run(scene: Scene, engine: FakeEngine, name: str, port: int) -> None:
    """A container that publishes a port."""
    if NETWORK not in engine.networks:
        engine.create_network(NETWORK, scene.names.labels)
    publish = {5000: (Bind("127.0.0.1", port),)}
    engine.run(
        ContainerSpec(
            name=name, image=IMAGE, command=("x",), labels=scene.names.labels, network=NETWORK, publish=publish
        )
    )


def test_free_ports_are_well(scene: Scene) -> None:
    assert ports_checks.https(scene).status is ports_checks.registry(scene).status is Status.OK


def test_our_own_containers_may_have_them(scene: Scene, engine: FakeEngine) -> None:
    run(scene, engine, EDGE, scene.spec.proxy.ports[0])
    run(scene, engine, scene.names.registry, scene.spec.registry.port)
    assert ports_checks.https(scene).status is ports_checks.registry(scene).status is Status.OK
    assert EDGE in ports_checks.https(scene).evidence


def test_another_container_is_named(scene: Scene, engine: FakeEngine) -> None:
    run(scene, engine, "other", scene.spec.registry.port)
    found = ports_checks.registry(scene)
    assert found.status is Status.ERROR and found.evidence.endswith("other")
    assert "sandbox up demo --registry-port" in found.fix


def test_a_process_is_named(scene: Scene) -> None:
    with closing(socket.create_server(("127.0.0.1", scene.spec.proxy.ports[1]))):
        found = ports_checks.https(scene)
    assert found.status is Status.ERROR and f"(pid {os.getpid()})" in found.evidence
    assert "sandbox up demo --https-port" in found.fix


@pytest.mark.fault(14, 61)
def test_a_rootless_engine_and_low_ports(scene: Scene) -> None:
    """A rootless engine and a low port → the doctor names the sysctl."""
    assert ports_checks.privileged(told(scene, rootless=True)).status is Status.OK  # the scene's ports are high
    low = replace(scene, spec=ResolvedSpec.model_validate({"name": "demo", "proxy": {"ports": (1,)}}))
    assert ports_checks.privileged(low).status is Status.OK  # not rootless
    found = ports_checks.privileged(told(low, rootless=True))
    assert found.status is Status.WARN and "ip_unprivileged_port_start=1" in found.fix


@pytest.mark.security(3, 19)
def test_it_is_told_when_others_may_come_in(scene: Scene) -> None:
    """A sandbox that others may enter → a warning of the doctor."""
    assert ports_checks.visitors(scene).status is Status.OK
    listening = scene.spec.proxy.model_copy(update={"listen": "192.168.1.5"})
    found = ports_checks.visitors(replace(scene, spec=scene.spec.model_copy(update={"proxy": listening})))
    assert found.status is Status.WARN
    assert f"https://*.{scene.spec.name}.192.168.1.5.nip.io:" in found.evidence
