"""A keystore for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import subject_names
from tests.support.tls import DOMAIN, NOW


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    """A keystore with an authority and a leaf named default."""
    made = Keystore(tmp_path / "state" / "certs")
    made.authority([DOMAIN], now=NOW)
    made.leaf("default", subject_names(DOMAIN), now=NOW)
    return made
