"""Which engines run no cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.engine import engine_limits
from tests.support.fakes import FakeEngine


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("rootless", "version", "limits", "refused"),
    [
        (True, 1, True, True),
        (True, 2, False, True),
        (True, 2, True, False),
        (False, 1, True, False),
        (False, 2, False, False),
    ],
)
def test_rootless_engine_needs_cgroup_v2(rootless: bool, version: int, limits: bool, refused: bool) -> None:
    """A rootless engine with cgroup v1, or without delegated groups → `up` and the doctor refuse it at once."""
    facts = replace(FakeEngine().facts(), rootless=rootless, cgroup_version=version, limits=limits)
    found = engine_limits.refusal(facts)
    assert (found is not None) is refused
    assert found is None or (found.id == "engine-rootless" and "Delegate=yes" in found.fix)


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("rootless", "version", "refused"), [(True, "5.2.0", True), (False, "4.2.1", True), (False, "4.3.1", False)]
)
def test_podman_is_refused_where_it_was_not_seen_to_work(rootless: bool, version: str, refused: bool) -> None:
    """The engine is Podman without root, or too old → `up` and the doctor refuse it at once and say what it is."""
    facts = replace(FakeEngine().facts(), podman=True, rootless=rootless, version=version, cgroup_version=2)
    found = engine_limits.refusal(facts)
    assert (found is not None) is refused
    assert found is None or (found.id == "engine-podman" and f"Podman {version}" in found.brief)
