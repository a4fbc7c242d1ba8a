"""A keystore for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.certs.keystore import Keystore
from sandbox.certs.names import subject_names

from .tls import DOMAIN, NOW


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    """A keystore with an authority and a leaf named default."""
    made = Keystore(tmp_path / "state" / "certs")
    made.authority([DOMAIN], now=NOW)
    made.leaf("default", subject_names(DOMAIN), now=NOW)
    return made
