"""What tests of the push share: a registry in memory, and examples that may take as long as the machine needs."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from tests.registry_simulator import Simulator

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator
