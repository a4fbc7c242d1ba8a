"""What unit tests share: an engine, a cluster's API and a registry in memory, and the names of one sandbox."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from sandbox.bundle import released_tools
from sandbox.bundle.system_images import UPSTREAM
from sandbox.cli import output
from sandbox.engine import Engine, connection
from sandbox.engine.endpoint import Endpoint
from sandbox.images.images_yaml import FromBuild
from sandbox.images.sources import image_build
from sandbox.names import LABEL, Home, Names
from sandbox.system import interruption
from tests.support import published_json
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.registry_simulator import Simulator

# Examples may take as long as the machine needs; CI tries the usual hundred, others a few and other ones each time.
hypothesis.settings.register_profile(
    "patient",
    max_examples=100 if os.environ.get("CI") else 25,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


class _Hasty(threading.Event):
    """Lets pauses between two tries, which servers in memory need not have, take a tenth of their time."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(timeout / 10 if timeout and timeout < 5 else timeout)


@pytest.fixture(autouse=True, scope="session")
def hasty() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interruption, "_requested", _Hasty())
        patch.setattr(os, "fsync", lambda file: None)  # what a test wrote need not outlive the machine
        yield


@pytest.fixture
def engine() -> FakeEngine:
    """An engine with the sandbox's own images and its network."""
    engine = FakeEngine(*UPSTREAM.values())
    engine.create_network(NETWORK, {LABEL: ""})
    return engine


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is all of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


@pytest.fixture
def names(place: Home) -> Names:
    return place.sandbox("demo")


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def server(names: Names) -> Iterator[ApiServer]:
    """The API server that the sandbox's own kubeconfig leads to."""
    names.folder.mkdir(parents=True)
    with serving() as server:
        kubeconfig(names.kubeconfig, server.server_address[1])
        yield server


@pytest.fixture(autouse=True)
def no_downloads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No official release is fetched, and so none is built either; `downloads` is the mark of tests about that."""
    if not request.node.get_closest_marker("downloads"):
        monkeypatch.setattr(released_tools, "can_fetch", lambda name: False)


@pytest.fixture(autouse=True)
def builds_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines in memory build by themselves; no builder of this machine runs."""

    def run_builder(entry: FromBuild, daemon: Any, *_: object) -> None:
        daemon.build(entry.context, entry.engine_name)

    monkeypatch.setattr(image_build, "run_builder", run_builder)


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command prints as JSON is held against its published schema."""
    monkeypatch.setattr(output, "as_text", published_json.checked_text)
    monkeypatch.setattr(output.JsonLines, "add", published_json.checking(output.JsonLines.add))


@pytest.fixture(autouse=True)
def unconnected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test connects to its own engine, even at an address that another test has used."""
    connections: dict[Endpoint, Engine] = {}
    monkeypatch.setattr(connection, "_connections", connections)
    yield
    for engine in connections.values():
        if "_client" in vars(engine):
            engine._client.close()
