"""The edge's container and folder: its user, its files, when HAProxy is reloaded."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import container, haproxy, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import Host, Port, Route
from sandbox.errors import SandboxError
from sandbox.names import EDGE, Home
from tests.support.fakes import FakeEngine

IMAGE = UPSTREAM["haproxy"]


def route(name: str, *listen: tuple[str, int], hosts: tuple[Host, ...] = (), ports: tuple[Port, ...] = ()) -> Route:
    return Route(name, f"{name}.test", "node", listen or (("127.0.0.1", 443),), 1.0, hosts=hosts, ports=ports)


@pytest.fixture
def box(engine: FakeEngine, place: Home) -> EdgeContainer:
    box = EdgeContainer(engine, place)
    routes.save(box.folder, route("a"))
    return box


@pytest.mark.security(14, 17)
def test_keys_are_private_and_go_with_their_route(box: EdgeContainer, engine: FakeEngine) -> None:
    """The edge's folder → keys are for its user only; in the container its group may read them."""
    routes.save(box.folder, route("a", hosts=(Host("x.test", terminate=True),)))
    routes.save_key(box.folder, "a", b"key")
    routes.save_key(box.folder, "gone", b"key")
    box.start(IMAGE)
    assert stat.S_IMODE((box.folder / "keys").stat().st_mode) == 0o700
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in box.folder.glob("keys/*")] == [("a.pem", 0o600)]
    key, gone = (PurePosixPath(haproxy.FOLDER, "keys", f"{name}.pem") for name in ("a", "gone"))
    made = engine.boxes[EDGE]
    assert (made.files[key], made.modes[key], made.files[gone]) == (b"key", 0o640, b"")
    assert box.is_current()
    routes.save_key(box.folder, "a", b"another")
    assert not box.is_current()


def test_socket_of_an_earlier_container_is_removed(
    box: EdgeContainer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "PATIENCE", 0.1)
    engine.shares = True
    stale = box.folder / "run" / "master.sock"
    stale.parent.mkdir(mode=0o500, parents=True)
    with pytest.raises(SandboxError):  # no HAProxy answers here
        box.start(IMAGE)
    assert not stale.exists() and stat.S_IMODE(stale.parent.stat().st_mode) == 0o770


def test_where_its_socket_is_out_of_reach_it_gets_a_signal(box: EdgeContainer, engine: FakeEngine) -> None:
    box.start(IMAGE)
    assert box.is_current()
    box.follow()
    assert engine.boxes[EDGE].signals == [], "nothing has changed"
    routes.save(box.folder, route("b"))
    box.follow()
    assert engine.boxes[EDGE].signals == ["SIGUSR2"]
    assert box.is_current()


def test_an_edge_that_is_not_heard_here_is_an_error(box: EdgeContainer, engine: FakeEngine) -> None:
    engine.deaf = True
    with pytest.raises(SandboxError) as caught:
        box.start(IMAGE)
    assert (caught.value.id, "127.0.0.1:443" in caught.value.brief) == ("engine-ports", True)
    assert box.find() is None
