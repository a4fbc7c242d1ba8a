"""Who may hand sockets over, what the holder is told, and that the edge is told the very same."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import container, edge_folder, haproxy
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind, Container, ContainerSpec, EngineError
from sandbox.engine.connection import Facts, read_facts
from sandbox.names import EDGE, LABEL, Home
from tests.support.fakes import NETWORK, FakeEngine

IMAGE = UPSTREAM["haproxy"]
ROUTE = Route("a", "a.test", "node", (("127.0.0.1", 443),), 1.0)


class Told(FakeEngine):
    """An engine that tells of these `options`."""

    options: Sequence[str] = ()

    def facts(self) -> Facts:
        return read_facts({"ServerVersion": "28", "SecurityOptions": self.options}, api="1.47", local=True)


@pytest.mark.parametrize(
    ("shares", "options", "expected"),
    [
        (True, (), True),
        (True, ("name=seccomp,profile=default", "name=apparmor"), True),
        (False, (), False),
        (None, (), False),
        (False, ("name=rootless",), False),
        (True, ("name=userns",), False),
        (True, ("name=selinux",), False),
    ],
)
def test_sockets_are_handed_over_in_one_network(shares: bool | None, options: Sequence[str], expected: bool) -> None:
    engine = Told()
    engine.shares, engine.options = shares, options
    assert socket_handover.are_handed_over(engine) is expected


class Handing(FakeEngine):
    """An engine of this machine, whose HAProxy holds what it is told to; but no address of IPv6 unless `six`.

    With `restarts` it ends as often before it holds anything, which is counted by questions for it.
    """

    restarts = 0

    def __init__(self, folder: Path, *, six: bool = True, works: bool = True) -> None:
        super().__init__(IMAGE)
        self.shares = True
        self.folder, self.six, self.works = folder, six, works
        self.create_network(NETWORK, {LABEL: ""})

    def run(self, spec: ContainerSpec) -> None:
        super().run(spec)
        told = self.folder / "sockets" / "holder.cfg"
        if spec.network != "host":
            return
        if not self.works or (not self.six and "[::1]" in told.read_text()):
            self.signal(spec.name, "SIGKILL")
            return
        if self.restarts:
            self.signal(spec.name, "SIGKILL")
            return
        self._hand()

    def container(self, name: str) -> Container | None:
        found = super().container(name)
        if self.restarts and found and not found.running:
            self.restarts -= 1
            if not self.restarts:
                self.start(name)
                self._hand()
        return found

    def _hand(self) -> None:
        (self.folder / "sockets" / socket_handover.HANDED).touch()


def place(folder: Path) -> Home:
    home = Home(folder, folder, folder)
    home.edge.mkdir(exist_ok=True)
    return home


class Answering(EdgeContainer):
    """An edge whose HAProxy answers as soon as it runs."""

    def _answers(self) -> bool:
        return True


def listening(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("  bind ") and "abns" not in line]


def test_both_sides_agree_on_sockets_and_have_least_privilege(tmp_path: Path) -> None:
    home = place(tmp_path)
    engine, folder = Handing(home.edge), home.edge
    box = Answering(engine, home)
    box.start(IMAGE, [ROUTE])
    assert socket_handover.held(folder) == (Bind("127.0.0.1", 443), Bind("::1", 443))
    held = listening((folder / "sockets" / "holder.cfg").read_text())
    assert (
        held
        == listening((folder / "haproxy.cfg").read_text())
        == [
            "  bind 127.0.0.1:443",
            "  bind [::1]:443 v6only",
        ]
    )
    proxy, holder = engine.boxes[EDGE].spec, engine.boxes[box.holder].spec
    assert not proxy.forwarded and proxy.network == EDGE and proxy.capabilities == ()
    assert (holder.network, holder.capabilities) == ("host", ("NET_BIND_SERVICE",))
    assert holder.user == f"0:{str(proxy.user).partition(':')[2]}"
    assert stat.S_IMODE((folder / "sockets").stat().st_mode) == 0o770
    found = box.find()
    assert found is not None and box.drift(found, IMAGE, [ROUTE]) is None
    assert edge_folder.is_current(folder, [ROUTE])


def test_holder_runs_only_programs_of_both_images() -> None:
    """The published image is Alpine's, whose shell is only known as sh; the bundle's has one of that name, too."""
    assert socket_handover.COMMAND[0] == "sh"
    own = recipes()["haproxy"].image
    assert own is not None and f"/usr/bin/{own.links['/bin/sh']}" in own.copies


def test_a_lost_holder_is_a_drift_and_both_go_together(tmp_path: Path) -> None:
    engine = Handing(place(tmp_path).edge)
    box = Answering(engine, place(tmp_path))
    box.start(IMAGE, [ROUTE])
    found = box.find()
    engine.remove_container(box.holder)
    assert found is not None and "no container holds its ports" in str(box.drift(found, IMAGE, [ROUTE]))
    box.start(IMAGE, [ROUTE])
    assert box.remove()
    assert engine.boxes == {}
    assert not box.remove()


def test_without_ipv6_the_requested_ports_are_kept(tmp_path: Path) -> None:
    Answering(Handing(place(tmp_path).edge, six=False), place(tmp_path)).start(IMAGE, [ROUTE])
    assert socket_handover.held(place(tmp_path).edge) == (Bind("127.0.0.1", 443),)


def test_the_engine_forwards_where_nothing_can_be_handed_over(tmp_path: Path) -> None:
    engine = Handing(place(tmp_path).edge, works=False)
    box = Answering(engine, place(tmp_path))
    box.start(IMAGE, [ROUTE])
    assert engine.boxes.keys() == {EDGE}
    assert engine.boxes[EDGE].spec.forwarded
    assert socket_handover.held(place(tmp_path).edge) == ()
    assert listening((place(tmp_path).edge / "haproxy.cfg").read_text()) == [
        f"  bind :{haproxy.PORT}",
        f"  bind :{haproxy.OPEN_PORT}",
    ]
    found = box.find()
    assert found is not None and box.drift(found, IMAGE, [ROUTE]) is None


def test_edge_open_to_others_uses_the_engines_forwarders(tmp_path: Path) -> None:
    box = Answering(Handing(place(tmp_path).edge), place(tmp_path))
    box.start(IMAGE, [ROUTE, Route("b", "b.test", "node", (("0.0.0.0", 8443),), 2.0)])  # noqa: S104
    assert socket_handover.held(place(tmp_path).edge) == ()
    box.start(IMAGE, [ROUTE])
    assert socket_handover.held(place(tmp_path).edge) != ()


def test_last_failure_is_reported(tmp_path: Path) -> None:
    engine = Handing(place(tmp_path).edge, works=False)
    engine.busy.add(443)
    with pytest.raises(EngineError):
        Answering(engine, place(tmp_path)).start(IMAGE, [ROUTE])


@pytest.mark.fault(83)
def test_a_further_port_leaves_the_edge_before_to_its_clients(tmp_path: Path) -> None:
    """A sandbox asks for a further port → a new edge takes the sockets over; the one before serves out its clients."""
    home = place(tmp_path)
    engine = Handing(home.edge)
    box = Answering(engine, home)
    box.start(IMAGE, [ROUTE])
    before = engine.boxes[EDGE]
    further = replace(ROUTE, name="b", domain="b.test", listen=(("127.0.0.1", 9443),))
    box.start(IMAGE, [ROUTE, further])
    (retired,) = box.retired()
    assert engine.boxes[retired.name] is before
    assert before.signals == ["SIGUSR1"]
    assert Bind("127.0.0.1", 9443) in socket_handover.held(box.folder)
    before.running = False
    box.sweep()
    assert box.retired() == ()
    box.start(IMAGE, [ROUTE])
    assert len(box.retired()) == 1
    assert box.remove()
    assert engine.boxes == {}


def test_an_edge_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    class Silent(Answering):
        def _answers(self) -> bool:
            raise EngineError("it does not start")

    home = place(tmp_path)
    engine = Handing(home.edge)
    Answering(engine, home).start(IMAGE, [ROUTE])
    before, box = engine.boxes[EDGE], Silent(engine, home)
    with pytest.raises(EngineError, match="does not start"), box._replacing():
        engine.run(replace(before.spec, name=EDGE))
        box._answers()
    assert engine.boxes[EDGE] is before
    assert (before.signals, box.retired()) == ([], ())


def test_holder_that_the_engine_restarts_is_waited_for(tmp_path: Path) -> None:
    """The edge is too busy to hand over at once → the holder ends, is started again, and has the sockets then."""
    home = place(tmp_path)
    engine = Handing(home.edge)
    Answering(engine, home).start(IMAGE, [ROUTE])
    engine.restarts = 3
    Answering(engine, home).start(IMAGE, [ROUTE])
    assert engine.restarts == 0
    assert socket_handover.held(home.edge) != ()


def test_container_that_is_removed_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="the container box stopped") as caught:
        socket_handover.wait(FakeEngine(), "box", lambda: False)
    assert caught.value.details == "another command or program removed it"


def test_replaced_edges_are_limited_in_number(tmp_path: Path) -> None:
    home = place(tmp_path)
    engine = Handing(home.edge)
    box = Answering(engine, home)
    for _ in range(container.RETIRED_EDGES + 3):
        box.start(IMAGE, [ROUTE])
    assert len(box.retired()) == container.RETIRED_EDGES
