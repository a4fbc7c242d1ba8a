"""One sandbox on a machine whose engine is in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.names import Home
from tests.support.fakes import FakeEngine
from tests.support.ports import free_ports

IMAGE = "example.com/busybox:1"


@pytest.fixture
def engine() -> FakeEngine:
    found = FakeEngine(IMAGE)
    found.shares = True
    return found


@pytest.fixture
def context(tmp_path: Path, engine: FakeEngine) -> DoctorContext:
    registry, *edge = free_ports(3)
    spec = ResolvedSpec.model_validate({"name": "demo", "registry": {"port": registry}, "edge": {"ports": tuple(edge)}})
    now = datetime.now(UTC)
    home = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")
    return DoctorContext(spec, home, {}, EngineProbe(engine, engine.facts()), now, " -n demo")


def with_facts(context: DoctorContext, **facts: Any) -> DoctorContext:
    """The context with an engine that reports other facts."""
    assert isinstance(context.docker, EngineProbe)
    return replace(context, docker=replace(context.docker, facts=replace(context.docker.facts, **facts)))
