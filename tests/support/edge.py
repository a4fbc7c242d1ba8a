"""A sandbox's step of the edge, over a fake engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import haproxy
from sandbox.components.edge.route import Port, Route
from sandbox.components.edge.step import EdgeStep
from sandbox.names import EDGE, Names
from tests.support.fakes import FakeEngine


def edge_step(
    engine: FakeEngine,
    names: Names,
    domain: str = "demo.test",
    *,
    https: tuple[int, ...] = (443,),
    ports: tuple[Port, ...] = (),
) -> EdgeStep:
    listen = tuple(("127.0.0.1", port) for port in https)
    route = Route(names.name, domain, "", listen, network=names.network, ports=ports)
    return EdgeStep(engine=engine, names=names, image=UPSTREAM["haproxy"], route=route, nodes=lambda: (names.node,))


def routed(step: EdgeStep, **changes: Any) -> EdgeStep:
    return replace(step, route=replace(step.route, **changes))


def edge_file(engine: object, name: str) -> str:
    assert isinstance(engine, FakeEngine)
    return engine.boxes[EDGE].files[PurePosixPath(haproxy.FOLDER, name)].decode()
