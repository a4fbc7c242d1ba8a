"""Keeps unit tests away from the developer's own files, clusters and Docker Engine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

FOLDERS = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@pytest.fixture(autouse=True)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty home folder, the user's own one for tests marked `real`."""
    if request.node.get_closest_marker("real"):
        return Path.home()
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    for name in FOLDERS:
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("KUBECONFIG", str(folder / ".kube" / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / ".docker"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
    for name in ("SANDBOX_PROGRESS", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return folder


def pytest_configure() -> None:
    # A test run in the background of a script has SIGINT ignored, and then Python makes no KeyboardInterrupt of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
