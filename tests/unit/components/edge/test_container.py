"""The edge's container and folder: who it runs as, when it must be told of changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import container, edge_folder, listening, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.haproxy import Place
from sandbox.components.edge.route import AddedRoute, Host, Port, Route
from sandbox.engine import Bind, ContainerSpec, EngineError
from sandbox.errors import SandboxError
from sandbox.names import EDGE, LABEL, Home
from tests.support.fakes import NETWORK, FakeEngine

IMAGE = UPSTREAM["haproxy"]
PUBLISHED = Place(host=False)


def route(name: str, *listen: tuple[str, int], hosts: tuple[Host, ...] = (), ports: tuple[Port, ...] = ()) -> Route:
    return Route(name, f"{name}.test", "node", listen or (("127.0.0.1", 443),), 1.0, hosts=hosts, ports=ports)


@pytest.fixture
def box(tmp_path: Path) -> EdgeContainer:
    return _box(FakeEngine(IMAGE), tmp_path)


def _box(engine: FakeEngine, folder: Path) -> EdgeContainer:
    engine.create_network(NETWORK, {LABEL: ""})
    box = EdgeContainer(engine, Home(folder, folder, folder))
    routes.save(box.folder, route("a"))
    return box


def of(box: EdgeContainer) -> FakeEngine:
    assert isinstance(box.engine, FakeEngine)
    return box.engine


@pytest.mark.parametrize(
    ("uid", "rootless", "shares", "user"),
    [
        (1000, False, False, (1000, 100)),
        (0, False, False, (65532, 65532)),
        (1000, True, False, (0, 0)),
        (1000, False, True, (0, 100)),
    ],
)
def test_edge_user_can_read_the_users_keys(
    box: EdgeContainer, monkeypatch: pytest.MonkeyPatch, uid: int, rootless: bool, shares: bool, user: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: 100)
    of(box).rootless, of(box).shares = rootless, shares
    assert box._user(box.place) == user


class WithoutIPv6(FakeEngine):
    """An engine of a machine that has no ::1."""

    def run(self, spec: ContainerSpec) -> None:
        if any(":" in bind.address for binds in spec.publish.values() for bind in binds):
            raise EngineError("starting failed", details="listen tcp6 [::1]:443: cannot assign requested address")
        super().run(spec)


def test_without_ipv6_the_requested_ports_are_kept(tmp_path: Path) -> None:
    box = _box(WithoutIPv6(IMAGE), tmp_path)
    box.start(IMAGE)
    found = box.find()
    assert found is not None and found.published == {listening.PORT: {Bind("127.0.0.1", 443)}}
    assert box.drift(found, IMAGE) is None and edge_folder.is_current(box.folder, PUBLISHED)
    assert container.listens(box.engine, box.home) == {Bind("127.0.0.1", 443)}


@pytest.mark.security(14, 17)
def test_folder_follows_routes_and_keeps_keys_private(tmp_path: Path) -> None:
    """The edge's folder → keys are for its user only."""
    folder = tmp_path / "edge"
    routes.save(folder, route("a", hosts=(Host("x.test", terminate=True),)))
    edge_folder.save_key(folder, "a", b"key")
    edge_folder.save_key(folder, "gone", b"key")
    edge_folder.write(folder, PUBLISHED)
    assert not edge_folder.is_current(folder, PUBLISHED)
    edge_folder.note_taken(folder)
    assert edge_folder.is_current(folder, PUBLISHED)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o770
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.glob("keys/*")] == [("a.pem", 0o600)]
    edge_folder.save_key(folder, "a", b"another")
    assert not edge_folder.is_current(folder, PUBLISHED)
    edge_folder.note_taken(folder)
    (folder / "suffix.map").unlink()
    assert not edge_folder.is_current(folder, PUBLISHED)


def test_manual_routes_take_precedence_over_the_spec(tmp_path: Path) -> None:
    routes.save_added(tmp_path, AddedRoute("app.a.test", "a", "localhost:3000"))
    routes.save_added(tmp_path, AddedRoute("x.a.test", "a", "localhost:1"))
    routes.save_added(tmp_path, AddedRoute("x.b.test", "b", "localhost:1"))
    for _ in range(2):  # once more changes nothing
        routes.remove_added(tmp_path, "x.a.test")
    routes.save(tmp_path, route("a", hosts=(Host("app.a.test"),)))
    (merged,) = routes.merged(routes.load(tmp_path), routes.load_added(tmp_path))
    assert merged.hosts == (Host("app.a.test", terminate=True, to="localhost:3000"),)
    assert routes.ending((Host("z.a.test", terminate=True), Host("y.a.test")), routes.load_added(tmp_path), "a") == (
        "app.a.test",
        "z.a.test",
    )


def test_where_its_socket_is_out_of_reach_it_gets_a_signal(box: EdgeContainer) -> None:
    box.start(IMAGE)
    assert edge_folder.is_current(box.folder, PUBLISHED)
    routes.save(box.folder, route("b"))
    box.follow()
    assert of(box).boxes[EDGE].signals == ["SIGUSR2"]
    assert edge_folder.is_current(box.folder, PUBLISHED)


@pytest.mark.parametrize("shares", [True, False, None])
def test_folder_of_its_socket_is_bound_on_engines_of_this_machine_alone(
    box: EdgeContainer, shares: bool | None
) -> None:
    """A share by FUSE has no sockets: an edge that was bound there waited twenty seconds for its own."""
    of(box).shares = shares
    spec = box._spec(IMAGE, box.place)
    assert (set(spec.binds) == {box.folder / "run"}) is bool(shares)
    assert bool(spec.binds or spec.read_only_binds) is bool(shares)


def test_published_ports_are_tried_as_clients_use_them(box: EdgeContainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy waits for an HTTPS client to begin; a Service's port may have no Service yet."""
    asked: dict[int, bool] = {}
    monkeypatch.setattr(of(box), "is_heard", lambda bind, *, waits: asked.setdefault(bind.port, waits) or True)
    routes.save(box.folder, route("a", ports=(Port(5432, "shop/db:5432"),)))
    box.start(IMAGE)
    assert asked == {443: True, 5432: False}


def test_an_edge_that_is_not_heard_here_is_an_error(box: EdgeContainer) -> None:
    of(box).deaf = True
    with pytest.raises(SandboxError) as caught:
        box.start(IMAGE)
    assert (caught.value.id, "127.0.0.1:443" in caught.value.brief) == ("engine-ports", True)
    assert box.find() is None
