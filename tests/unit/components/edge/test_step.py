"""The edge that sandboxes share: its container and files, what it publishes, where it leads, who takes it away."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import container, haproxy, haproxy_admin, listening, routes
from sandbox.components.edge.container import MADE, RECORD, EdgeContainer
from sandbox.components.edge.route import AddedRoute, Host, Port, Route
from sandbox.components.edge.step import EdgeStep
from sandbox.errors import SandboxError
from sandbox.names import EDGE, EDGE_LEAF, Home
from sandbox.step import State
from sandbox.system import files
from tests.support.edge import edge_file, edge_step, routed
from tests.support.fakes import FakeContainer, FakeEngine, NoWork, applied
from tests.support.ports import free_port

IMAGE = UPSTREAM["haproxy"]
LOCAL = "127.0.0.1"


def step_of(engine: FakeEngine, place: Home, name: str, *ports: int) -> EdgeStep:
    return edge_step(engine, place.sandbox(name), f"{name}.localhost", https=ports)


@pytest.fixture
def a(engine: FakeEngine, place: Home) -> EdgeStep:
    return step_of(engine, place, "a", 443, 8443)


def test_every_node_is_a_server_and_one_that_came_later_too(engine: FakeEngine, a: EdgeStep) -> None:
    nodes = ["a-control-plane", "a-worker"]
    step = replace(a, nodes=lambda: tuple(nodes))
    assert applied(step).state is State.READY
    assert "server node a-control-plane:443" in edge_file(engine, "haproxy.cfg")
    assert "server node1 a-worker:443" in edge_file(engine, "haproxy.cfg")
    nodes.append("a-worker2")
    assert step.check().detail == "the route has another target"
    assert applied(step).state is State.READY
    assert "server node2 a-worker2:443" in edge_file(engine, "haproxy.cfg")


@pytest.fixture
def b(engine: FakeEngine, place: Home) -> EdgeStep:
    return step_of(engine, place, "b", 443, 9443)


def published(engine: FakeEngine) -> set[int]:
    return {bind.port for bind in engine.boxes[EDGE].spec.publish[listening.PORT]}


def known(engine: FakeEngine) -> dict[str, str]:
    rows = (line.split() for line in edge_file(engine, "hosts.map").splitlines())
    return {host.lstrip("^."): backend for host, backend in rows}


def test_leaving_sandbox_keeps_the_other_and_last_removes_edge(
    engine: FakeEngine, place: Home, a: EdgeStep, b: EdgeStep
) -> None:
    a.apply(NoWork())
    b.apply(NoWork())
    assert a.undo()
    assert known(engine) == {"b.localhost": "b"} and published(engine) == {443, 9443}
    assert (a.check().state, b.check().state) == (State.ABSENT, State.READY)
    assert not a.undo()
    assert b.check().state is State.READY
    assert b.undo()
    assert engine.boxes == {}
    assert not b.undo()


def test_pending_change_of_another_sandbox_is_no_drift(place: Home, a: EdgeStep) -> None:
    a.apply(NoWork())
    with ThreadPoolExecutor() as pool:
        with files.exclusive(place.edge):
            routes.save(place.edge, Route("b", "b.localhost", "node", (), 1.0))
            found = pool.submit(a.check)
            with pytest.raises(TimeoutError):
                found.result(timeout=0.2)
            routes.remove(place.edge, "b")
        assert found.result().state is State.READY


def test_a_route_goes_though_the_edge_is_gone_or_stopped(
    engine: FakeEngine, place: Home, a: EdgeStep, b: EdgeStep
) -> None:
    a.apply(NoWork())
    b.apply(NoWork())
    engine.signal(EDGE, "SIGKILL")
    assert a.undo()
    engine.remove_container(EDGE)
    assert b.undo()
    assert routes.load(place.edge) == ()


@pytest.mark.parametrize("harm", ["stopped", "gone", "image", "configuration", "ports"])
def test_drift_is_seen_and_repaired_for_every_sandbox(
    engine: FakeEngine, place: Home, a: EdgeStep, b: EdgeStep, harm: str
) -> None:
    a.apply(NoWork())
    b.apply(NoWork())
    box: FakeContainer = engine.boxes[EDGE]
    match harm:
        case "stopped":
            engine.signal(EDGE, "SIGKILL")
        case "gone":
            engine.remove_container(EDGE)
        case "image":
            box.image = engine.images[UPSTREAM["busybox"]]
        case "configuration":
            (place.edge / RECORD).unlink()
        case "ports":
            box.spec = replace(box.spec, labels={**box.spec.labels, MADE: "with other ports"})
    assert a.check().state is (State.ABSENT if harm == "gone" else State.DRIFTED)
    a.apply(NoWork())
    assert (a.check().state, b.check().state) == (State.READY, State.READY)
    assert published(engine) == {443, 8443, 9443}
    assert EdgeContainer.of(engine, place).is_current()


def test_edge_that_exits_is_an_error_with_its_last_lines(engine: FakeEngine, a: EdgeStep) -> None:
    engine.panic = "[ALERT] bad configuration\n"
    with pytest.raises(SandboxError, match="the edge stopped") as caught:
        a.apply(NoWork())
    assert "bad configuration" in caught.value.details


def keystore_for(place: Home, host: str) -> Keystore:
    """Return the keys of the sandbox `a`, with a certificate of the edge for the host."""
    keystore = Keystore(place.sandbox("a").keys)
    keystore.authority(["a.localhost"], now=datetime.now(UTC))
    keystore.leaf(EDGE_LEAF, [host], now=datetime.now(UTC))
    return keystore


def test_host_terminated_at_edge_has_the_current_certificate(engine: FakeEngine, place: Home, a: EdgeStep) -> None:
    app = "app.a.localhost"
    keystore = keystore_for(place, app)
    ends = routed(a, hosts=(Host(app, terminate=True),))
    assert applied(ends).state is State.READY
    before = routes.read_key(place.edge, "a")
    assert before is not None and before.startswith(b"-----BEGIN PRIVATE KEY-----")
    keystore.renew(["a.localhost"], {EDGE_LEAF: [app]}, now=datetime.now(UTC))
    assert ends.check().detail == "the edge serves an old certificate"
    assert applied(ends).state is State.READY
    assert routes.read_key(place.edge, "a") != before
    assert applied(a).state is State.READY
    assert routes.read_key(place.edge, "a") is None


def test_manual_routes_survive_the_sandbox(engine: FakeEngine, place: Home, a: EdgeStep) -> None:
    keystore_for(place, "dev.a.localhost")
    routes.ADDED_HOSTS.save(place.edge, AddedRoute("dev.a.localhost", "a", "localhost:3000"))
    assert applied(a).state is State.READY
    assert "dev.a.localhost" in known(engine)
    a.undo()
    assert engine.boxes == {}
    a.apply(NoWork())
    assert "dev.a.localhost" in known(engine)


@pytest.mark.security(22)
def test_two_users_have_an_edge_each_with_its_routes(engine: FakeEngine, a: EdgeStep, tmp_path: Path) -> None:
    """Another user brings up a sandbox on the same engine → an edge of another name; the first one's stays as it is."""
    theirs = Home(tmp_path / "theirs", tmp_path, tmp_path)
    a.apply(NoWork())
    other = step_of(engine, theirs, "x", 9443)
    made = engine.boxes[EDGE]
    assert applied(other).state is a.check().state is State.READY
    assert engine.boxes[EDGE] is made and len([name for name in engine.boxes if name.startswith(EDGE)]) == 2
    assert other.undo() and a.check().state is State.READY


@pytest.fixture
def here(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Control:
    """An engine whose network is this machine's, and a HAProxy that takes everything in."""
    engine.shares = True
    control = Control()
    monkeypatch.setattr(EdgeContainer, "control", control)
    return control


class Control:
    """A HAProxy that has what it was started with, and refuses a reload for the reason `refusal`."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refusal = ""

    def workers(self) -> tuple[int, ...]:
        return (1,)

    def reload(self) -> None:
        self.done.append("reload")
        if self.refusal:
            raise haproxy_admin.failure("refused", self.refusal)


@pytest.mark.fault(15)
def test_new_port_of_the_hosts_network_is_a_reload(engine: FakeEngine, a: EdgeStep, b: EdgeStep, here: Control) -> None:
    """A second sandbox with another port comes and goes → the container stays, and reloads."""
    a.apply(NoWork())
    before = engine.boxes[EDGE]
    assert (before.spec.network, before.spec.publish, before.spec.joined) == ("host", {}, {})
    assert set(before.spec.capabilities) == {"NET_BIND_SERVICE", "SETUID", "SETGID", "KILL"}
    assert EDGE not in engine.networks
    b.apply(NoWork())
    assert b.undo()
    assert engine.boxes[EDGE] is before and here.done == ["reload", "reload"]
    assert a.check().state is State.READY


def test_port_that_moves_to_another_address_is_closed_by_one_reload_and_opened_by_another(
    engine: FakeEngine, place: Home, here: Control
) -> None:
    port = free_port()
    step = step_of(engine, place, "a", port)
    step.apply(NoWork())
    before = engine.boxes[EDGE]
    everywhere = routed(step, listen=(("0.0.0.0", port),))  # noqa: S104
    everywhere.apply(NoWork())
    assert engine.boxes[EDGE] is before and here.done == ["reload", "reload"]
    assert everywhere.check().state is State.READY


def test_port_that_another_program_has_leaves_the_edge_as_it_was(
    engine: FakeEngine, place: Home, a: EdgeStep, b: EdgeStep, here: Control
) -> None:
    a.apply(NoWork())
    here.refusal = "cannot bind socket (Address already in use) for [127.0.0.1:9443]"
    with pytest.raises(SandboxError) as caught:
        b.apply(NoWork())
    assert (caught.value.id, caught.value.brief) == ("port-in-use", "127.0.0.1:9443 is taken")
    assert [route.name for route in routes.load(place.edge)] == ["a"]
    assert "9443" not in edge_file(engine, "haproxy.cfg")


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


def test_edge_reloads_by_a_signal_where_its_socket_is_out_of_reach(box: EdgeContainer, engine: FakeEngine) -> None:
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
