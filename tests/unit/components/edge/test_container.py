"""The edge's container and folder: who it runs as, when it must be told of changes."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import container, edge_folder, published_ports, routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import AddedRoute, Host, Port, Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind, ContainerSpec, EngineError
from sandbox.engine.connection import Facts, read_facts
from sandbox.errors import SandboxError
from sandbox.names import EDGE, LABEL, Home
from tests.support.fakes import NETWORK, FakeEngine

IMAGE = UPSTREAM["haproxy"]


def route(name: str, *listen: tuple[str, int], hosts: tuple[Host, ...] = ()) -> Route:
    return Route(name, f"{name}.test", "node", listen or (("127.0.0.1", 443),), 1.0, hosts=hosts)


def facts(system: str = "Debian", *options: str) -> Facts:
    info = {"ServerVersion": "28", "OperatingSystem": system, "SecurityOptions": list(options)}
    return read_facts(info, api="1.47", local=True)


@pytest.mark.parametrize(
    ("found", "uid", "expected"),
    [
        (facts(), 1000, "1000:100"),
        (facts(), 0, "65532:65532"),
        (facts("Debian", "name=rootless"), 1000, "0:0"),
    ],
)
def test_edge_user_can_read_the_users_keys(found: Facts, uid: int, expected: str) -> None:
    assert container.user(found, uid, 100) == expected


class WithoutIPv6(FakeEngine):
    """An engine of a machine that has no ::1."""

    def run(self, spec: ContainerSpec) -> None:
        if any(":" in bind.address for binds in spec.publish.values() for bind in binds):
            raise EngineError("starting failed", details="listen tcp6 [::1]:443: cannot assign requested address")
        super().run(spec)


def test_without_ipv6_the_requested_ports_are_kept(tmp_path: Path) -> None:
    engine = WithoutIPv6(IMAGE)
    engine.create_network(NETWORK, {LABEL: ""})
    box = EdgeContainer(engine, Home(tmp_path, tmp_path, tmp_path))
    box.folder.mkdir()
    box.start(IMAGE, [route("a")])
    found = box.find()
    assert found is not None and published_ports.serves(found) == {Bind("127.0.0.1", 443)}
    assert box.drift(found, IMAGE, [route("a")]) is None


@pytest.mark.security(14, 17)
def test_folder_follows_routes_and_keeps_keys_private(tmp_path: Path) -> None:
    """The edge's folder → keys are for its user only."""
    folder = tmp_path / "edge"
    ends = route("a", hosts=(Host("x.test", terminate=True),))
    edge_folder.save_key(folder, "a", b"key")
    edge_folder.save_key(folder, "gone", b"key")
    edge_folder.write(folder, [ends])
    assert not edge_folder.is_current(folder, [ends])
    edge_folder.note_taken(folder)
    assert edge_folder.is_current(folder, [ends])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_dir()} == {
        "keys": 0o700,
        "run": 0o700,
    }
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.glob("keys/*")] == [("a.pem", 0o600)]
    edge_folder.save_key(folder, "a", b"another")
    assert not edge_folder.is_current(folder, [ends])
    edge_folder.note_taken(folder)
    (folder / "suffix.map").unlink()
    assert not edge_folder.is_current(folder, [ends])


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


def test_where_its_socket_is_out_of_reach_it_gets_a_signal(tmp_path: Path) -> None:
    engine = FakeEngine(IMAGE)
    engine.create_network(NETWORK, {LABEL: ""})
    box = EdgeContainer(engine, Home(tmp_path, tmp_path, tmp_path))
    box.folder.mkdir()
    box.start(IMAGE, [route("a")])
    assert edge_folder.is_current(tmp_path / "edge", [route("a")])
    box.follow([route("a"), route("b")])
    assert engine.boxes[EDGE].signals == ["SIGUSR2"]
    assert edge_folder.is_current(tmp_path / "edge", [route("a"), route("b")])
    assert not box.is_idle()


@pytest.mark.parametrize("shares", [True, False, None])
def test_folders_are_bound_on_engines_of_this_machine_alone(tmp_path: Path, shares: bool | None) -> None:
    """A share by FUSE has no sockets: an edge that was bound there waited twenty seconds for its own."""
    engine = FakeEngine(IMAGE)
    engine.shares = shares
    engine.create_network(NETWORK, {LABEL: ""})
    box = EdgeContainer(engine, Home(tmp_path, tmp_path, tmp_path))
    spec = box._spec(IMAGE, {}, held=False)
    assert (set(spec.binds) == {box.folder / "run"}) is bool(shares)
    assert bool(spec.binds or spec.read_only_binds) is bool(shares)


def test_edge_with_own_sockets_opens_low_ports_without_rights(tmp_path: Path) -> None:
    box = EdgeContainer(FakeEngine(IMAGE), Home(tmp_path, tmp_path, tmp_path))
    held, forwarded = (box._spec(IMAGE, {}, held=one) for one in (True, False))
    assert held.sysctls == socket_handover.SYSCTLS and "-x" in held.command
    assert not forwarded.sysctls and "-x" not in forwarded.command


def test_edge_with_held_sockets_is_replaced_without_a_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = EdgeContainer(FakeEngine(IMAGE), Home(tmp_path, tmp_path, tmp_path))
    assert box.cuts(), "it may have clients"
    with monkeypatch.context() as patch:
        patch.setattr(EdgeContainer, "is_idle", lambda _: True)
        assert not box.cuts()
    monkeypatch.setattr(socket_handover, "held", lambda _: (Bind("127.0.0.1", 443),))
    assert not box.cuts()


def test_ports_of_services_need_no_service_to_be_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(IMAGE)
    engine.create_network(NETWORK, {LABEL: ""})
    asked: dict[int, bool] = {}
    monkeypatch.setattr(engine, "is_heard", lambda bind, *, waits: asked.setdefault(bind.port, waits) or True)
    box = EdgeContainer(engine, Home(tmp_path, tmp_path, tmp_path))
    known = [replace(route("a"), ports=(Port(5432, "shop/db:5432"),))]
    assert box._deaf(known, forwarded=True) is None and asked == {443: True, 5432: False}
    asked.clear()
    assert box._deaf(known, forwarded=False) is None and asked == {443: False, 5432: False}


def test_an_edge_that_is_not_heard_here_is_an_error(tmp_path: Path) -> None:
    engine = FakeEngine(IMAGE)
    engine.deaf = True
    engine.create_network(NETWORK, {LABEL: ""})
    box = EdgeContainer(engine, Home(tmp_path, tmp_path, tmp_path))
    box.folder.mkdir()
    with pytest.raises(SandboxError) as caught:
        box.start(IMAGE, [route("a")])
    assert (caught.value.id, "127.0.0.1:443" in caught.value.brief) == ("engine-ports", True)
