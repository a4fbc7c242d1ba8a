"""What the tests of providers share: an engine in memory with the network, and the names of one sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.names import LABEL, Home, Names
from tests.support.fakes import NETWORK, FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    """An engine with the sandbox's own images and its network."""
    engine = FakeEngine(*UPSTREAM.values())
    engine.create_network(NETWORK, {LABEL: ""})
    return engine


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig").sandbox("demo")
