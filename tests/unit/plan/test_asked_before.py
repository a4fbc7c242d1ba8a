"""What the API server and nodes were asked is asked again before the plan is made, of the same containers only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from sandbox.engine import Container, Engine
from sandbox.kube.api import Cluster
from sandbox.kube.api_transport import Plain
from sandbox.names import Names
from sandbox.plan import asked_before
from tests.support.api_server import ApiServer

ECHO, FAIL, NODE = ("printf", "a"), ("false",), "node"


class Machine(Engine):
    """An engine with one container, this machine, whose id is `id`; `ran` says what was run, in what."""

    def __init__(self, id: str = "1f", *, running: bool = True) -> None:
        super().__init__(None)
        self.running = running
        self.ran: list[tuple[str, str]] = []
        self.id_of_node = id

    def container(self, name: str) -> Container | None:
        return Container(
            name=name,
            id=self.id_of_node,
            running=self.running,
            image="",
            labels={},
            addresses={},
            published={},
        )

    def execute(self, name: str, argv: Sequence[str]) -> tuple[int, str]:
        self.ran.append((name, argv[0]))
        if name not in (NODE, self.id_of_node):
            return 1, ""
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def _read(self, name: str, path: PurePosixPath) -> bytes | None:
        self.ran.append((name, str(path)))
        return Path(path).read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> PurePosixPath:
    (tmp_path / "file").write_bytes(b"\xff")
    return PurePosixPath(tmp_path, "file")


@pytest.fixture
def known(names: Names, file: PurePosixPath) -> Names:
    """Return the names of a sandbox whose node was asked two questions."""
    names.folder.mkdir(parents=True)
    engine = Machine()
    with engine.glance():
        asked_before.ask(engine, names)
        assert (engine.query(NODE, ECHO), engine.read_file(NODE, file)) == ((0, "a"), b"\xff")
        asked_before.remember(engine, names)
    assert engine.ran == [(NODE, "printf"), (NODE, str(file))]
    return names


def test_questions_of_before_are_asked_by_one_command(known: Names, file: PurePosixPath) -> None:
    engine = Machine()
    with engine.glance():
        asked_before.ask(engine, known)
        engine.gather(NODE, lambda: [ECHO])
        assert (engine.query(NODE, ECHO), engine.read_file(NODE, file)) == ((0, "a"), b"\xff")
    assert engine.ran == [(engine.id_of_node, "bash")]


def test_new_question_is_asked_and_known_from_then_on(known: Names) -> None:
    for expected in ([("1f", "bash"), (NODE, "false")], [("1f", "bash")]):
        engine = Machine()
        with engine.glance():
            asked_before.ask(engine, known)
            assert engine.query(NODE, FAIL) == (1, "")
            asked_before.remember(engine, known)
        assert engine.ran == expected


def test_another_container_of_the_name_is_asked_by_the_plan(known: Names) -> None:
    """The record names a container that is gone → nothing is run in the one that has its name, until a step asks."""
    engine = Machine(id="2e")
    with engine.glance():
        asked_before.ask(engine, known)
        assert engine.query(NODE, FAIL) == (1, "")  # once it is known that the container of before is gone
        engine.gather(NODE, lambda: [ECHO])
        assert engine.query(NODE, ECHO) == (0, "a")
        asked_before.remember(engine, known)
    assert engine.ran == [("1f", "bash"), (NODE, "false"), (NODE, "bash")]
    assert '"2e"' in known.asked.read_text()


def test_reads_of_before_are_sent_before_a_step_wants_them(
    names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, cluster = Machine(), Cluster(names.kubeconfig)
    with asked_before.glance(engine, names):
        asked_before.ask(engine, names)
        engine.query(NODE, ECHO)
        assert cluster.list("v1", "Pod") == []
        asked_before.remember(engine, names)
    monkeypatch.setattr(Plain, "request", lambda *_: pytest.fail("it was sent by itself"))
    with asked_before.glance(engine, names):
        asked_before.ask(engine, names)
        assert cluster.list("v1", "Pod") == []
    assert [path for _, path, *_ in server.asked] == ["/api/v1/pods"] * 2


@pytest.mark.parametrize("text", ["", "[1]", '{"node": 1}', '{"node": {"id": "1f", "files": 1, "commands": []}}'])
def test_unreadable_record_leaves_questions_to_the_steps(known: Names, text: str) -> None:
    known.asked.write_text(text)
    engine = Machine()
    with engine.glance():
        asked_before.ask(engine, known)
        assert engine.query(NODE, ECHO) == (0, "a")
    assert engine.ran == [(NODE, "printf")]


def test_record_is_the_users_own_and_written_when_it_changes(known: Names) -> None:
    before = known.asked.stat()
    assert before.st_mode & 0o777 == 0o600
    engine = Machine()
    with engine.glance():
        asked_before.remember(engine, known)  # nothing was asked
    assert known.asked.stat().st_mtime_ns == before.st_mtime_ns


def test_record_with_the_same_reads_in_another_order_is_kept(names: Names, server: ApiServer) -> None:
    kinds = ("Pod", "Service")
    for order in (kinds, kinds[::-1]):
        engine, cluster = Machine(), Cluster(names.kubeconfig)
        with asked_before.glance(engine, names):
            engine.query(NODE, ECHO)
            for kind in order:
                cluster.list("v1", kind)
            asked_before.remember(engine, names)
    assert [path for path, _ in json.loads(names.asked.read_text())["reads"]] == ["/api/v1/pods", "/api/v1/services"]


def test_record_is_kept_while_the_node_is_stopped(known: Names, file: PurePosixPath) -> None:
    before = known.asked.read_bytes()
    engine = Machine(running=False)
    with engine.glance():
        assert engine.read_file(NODE, file) == b"\xff"
        asked_before.remember(engine, known)
    assert known.asked.read_bytes() == before


def test_record_that_cannot_be_written_is_no_error(known: Names) -> None:
    known.asked.unlink()
    known.folder.rmdir()
    engine = Machine()
    with engine.glance():
        engine.query(NODE, ECHO)
        asked_before.remember(engine, known)
    assert not known.asked.exists()
