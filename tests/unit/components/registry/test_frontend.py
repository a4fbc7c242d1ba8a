"""The container before the registry: what it is asked to be, and when it is recreated; real requests are in real/."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.network import socket_handover
from sandbox.components.registry import frontend
from sandbox.components.registry.frontend import Frontend
from sandbox.engine import Bind, ContainerSpec, EngineError
from sandbox.engine.connection import Facts, read_facts
from sandbox.errors import SandboxError
from sandbox.names import LABEL, OWNER, REGISTRY_PORT, Names
from tests.support.fakes import NETWORK, FakeEngine


class Described(FakeEngine):
    """An engine that tells what it is told to of itself, whose containers pass sockets if it `hands`."""

    info: Mapping[str, Any] = {}
    hands = True

    def facts(self) -> Facts:
        return read_facts({"ServerVersion": self.version, **self.info}, api="1.47", local=True)

    def run(self, spec: ContainerSpec) -> None:
        super().run(spec)
        self._open(spec)

    def start(self, name: str) -> None:
        super().start(name)
        self._open(self.boxes[name].spec)

    def _open(self, spec: ContainerSpec) -> None:
        made = {path: inner for path, inner in spec.binds.items() if inner.startswith(("/etc/edge/sockets", "/run"))}
        if not made:
            return
        self.boxes[spec.name].running = self.hands
        for path in made:
            (path / (socket_handover.SERVED if path.name == "live" else socket_handover.HANDED)).touch()
            if not self.hands:
                (path / socket_handover.HANDED).unlink(missing_ok=True)


@pytest.fixture
def engine() -> Described:
    found = Described(*UPSTREAM.values())
    found.create_network(NETWORK, {})
    found.shares = True
    return found


@pytest.fixture
def front(engine: Described, names: Names) -> Frontend:
    return Frontend(engine, names, UPSTREAM["haproxy"], 5001)


def configuration(front: Frontend) -> str:
    front.start()
    return told(front)


def told(front: Frontend) -> str:
    """The configuration that its container has been given."""
    assert isinstance(front.engine, FakeEngine)
    box = front.engine.boxes[front.names.registry_frontend]
    return box.files[PurePosixPath("/etc/frontend/haproxy.cfg")].decode()


def test_frontend_uses_the_machines_socket_if_possible(engine: Described, front: Frontend) -> None:
    front.start()
    assert front.drift() is None
    holder, spec = (engine.boxes[one].spec for one in (front.names.registry_holder, front.names.registry_frontend))
    assert (holder.network, holder.publish, holder.forwarded) == ("host", {REGISTRY_PORT: (front.bind,)}, False)
    assert (spec.network, spec.publish, spec.capabilities) == (NETWORK, {}, ())
    assert spec.command[-2:] == ("-x", "/etc/frontend/sockets/handed.sock")
    text = told(front)
    assert "  bind 127.0.0.1:5001\n" in text and "reject" not in text
    engine.remove_container(holder.name)
    assert front.drift() == "is not published on 127.0.0.1:5001"
    front.start()
    assert front.drift() is None
    assert frontend.remove(engine, front.names)
    assert (engine.boxes, front.names.registry_files.exists()) == ({}, False)


@pytest.mark.parametrize("port", [5001, 40000])
def test_without_socket_handover_the_engine_publishes_it(engine: Described, front: Frontend, port: int) -> None:
    engine.hands = port != 5001
    front = replace(front, port=port)
    front.start()
    assert front.drift() is None
    assert list(engine.boxes) == [front.names.registry_frontend]
    assert engine.publisher(port) == front.names.registry_frontend


def test_frontend_is_confined_and_published_on_loopback(engine: Described, front: Frontend) -> None:
    engine.shares = False
    front.start()
    spec = engine.boxes[front.names.registry_frontend].spec
    assert spec.publish == {REGISTRY_PORT: (Bind("127.0.0.1", 5001),)}
    assert (spec.capabilities, spec.user, spec.network) == ((), "65532:65532", NETWORK)
    assert (spec.read_only_binds, spec.binds) == ({}, {})


def test_refusal_is_an_error_of_the_distribution_spec(front: Frontend) -> None:
    text = configuration(front)
    assert re.search(r"acl known .* -m str localhost 127\.0\.0\.1 \[::1\] sandbox-demo-registry\n", text)
    assert "acl page req.hdr(origin) -m found\n" in text and text.count(" if !known or page\n") == 1
    said = re.findall(r"string '(.*?)'", text)
    assert [json.loads(one)["errors"][0]["code"] for one in said] == ["UNAVAILABLE", "DENIED"]


@pytest.mark.parametrize(
    ("shares", "option", "guarded"),
    [(True, "name=userns", True), (False, "name=rootless", False), (False, "name=seccomp", False)],
)
def test_only_local_clients_are_served_if_distinguishable(
    engine: Described, front: Frontend, shares: bool, option: str, guarded: bool
) -> None:
    engine.shares, engine.info = shares, {"SecurityOptions": [option]}
    assert ("reject unless { src 172.30.0.1 }" in configuration(front)) is guarded


def test_changed_frontend_settings_are_drift(engine: Described, front: Frontend) -> None:
    engine.info = {"SecurityOptions": ["name=userns"]}
    assert front.drift() == "nothing has its port on this machine"
    front.start()
    assert front.drift() is None
    box = engine.boxes[front.names.registry_frontend]
    assert replace(front, image=UPSTREAM["busybox"]).drift() == f"{box.spec.name} runs another image"
    assert replace(front, port=5002).drift() == "is not published on 127.0.0.1:5002"
    engine.shares = False
    assert front.drift() == f"{box.spec.name} has other settings"
    engine.shares = True
    front.start()
    assert front.drift() is None
    engine.stop(box.spec.name)
    assert front.drift() == f"{box.spec.name} is stopped"


def test_a_port_in_use_is_an_error_and_leaves_nothing(engine: Described, front: Frontend) -> None:
    engine.shares = False
    engine.busy.add(5001)
    with pytest.raises(EngineError, match="starting container"):
        front.start()
    assert engine.boxes == {}


def test_frontend_that_is_not_heard_here_is_an_error(engine: Described, front: Frontend) -> None:
    engine.shares, engine.deaf = False, True
    with pytest.raises(SandboxError, match=r"no port .* answers at 127\.0\.0\.1:5001") as caught:
        front.start()
    assert caught.value.id == "engine-ports"


@pytest.mark.fault(23)
def test_a_container_of_its_name_that_is_not_ours_is_left_alone(engine: Described, front: Frontend) -> None:
    """A container with the frontend's name but without our label → refused, and spared by `down`."""
    engine.run(
        ContainerSpec(
            name=front.names.registry_frontend,
            image=UPSTREAM["haproxy"],
            command=("sleep",),
            labels={},
            network=NETWORK,
        )
    )
    with pytest.raises(SandboxError) as caught:
        front.start()
    assert caught.value.id == "name-taken"
    assert not frontend.remove(engine, front.names)


def test_stopped_containers_are_started_with_the_sockets(engine: Described, front: Frontend) -> None:
    front.start()
    made = dict(engine.boxes)
    assert not front.is_stopped
    for name in made:
        engine.stop(name)
    assert front.is_stopped and front.drift() == f"{front.names.registry_frontend} is stopped"
    assert front.resume()
    assert (front.drift(), engine.boxes) == (None, made)


@pytest.mark.parametrize("labels", [{frontend.CONFIGURED: "earlier"}, {LABEL: "other", OWNER: "bob:1001:/home/bob"}])
def test_containers_with_other_labels_are_not_started(
    engine: Described, front: Frontend, labels: Mapping[str, str]
) -> None:
    front.start()
    box = engine.boxes[front.names.registry_frontend]
    box.spec = replace(box.spec, labels={**box.spec.labels, **labels})
    engine.stop(front.names.registry_frontend)
    assert not front.resume()
    assert front.is_stopped
