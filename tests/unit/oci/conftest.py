"""Both ways in which registries are spoken to, for tests of what is the same on either."""

from __future__ import annotations

import pytest

from sandbox.oci import connections


@pytest.fixture(params=["loopback", "web"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Speak to this machine as to itself, or as to any other, where proxies and TLS are possible."""
    if request.param == "web":
        monkeypatch.setattr(connections, "is_plain", lambda _: False)
    return str(request.param)
