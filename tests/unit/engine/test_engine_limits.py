"""Which engines run no cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.engine import engine_limits
from tests.support.fakes import FakeEngine


@pytest.mark.fault(61)
@pytest.mark.parametrize(("rootless", "version", "refused"), [(True, 1, True), (True, 2, False), (False, 1, False)])
def test_rootless_engine_needs_cgroup_v2(rootless: bool, version: int, refused: bool) -> None:
    """A rootless engine with cgroup v1 → `up` and the doctor refuse it at once, before anything is made."""
    facts = replace(FakeEngine().facts(), rootless=rootless, cgroup_version=version)
    found = engine_limits.refusal(facts)
    assert (found is not None) is refused and (found is None or found.id == "engine-rootless")


@pytest.mark.fault(61)
def test_podman_is_called_by_its_name() -> None:
    """The engine is Podman → `up` and the doctor refuse it at once and say what it is."""
    found = engine_limits.refusal(replace(FakeEngine().facts(), podman=True))
    assert found is not None and found.id == "engine-podman" and "Podman 28.0.0" in found.brief
