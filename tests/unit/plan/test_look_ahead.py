"""The check of a sandbox whose nodes end meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.kind.provider import KindProvider
from sandbox.components.cluster.steps import ClusterStep
from sandbox.engine.labelled import COMPLETE
from sandbox.errors import SandboxError, UsageError
from sandbox.kube import node_status
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import look_ahead
from sandbox.step import State, Status, Step
from tests.support import memory_nodes
from tests.support.api_server import kubeconfig
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, FakeStep, RecordingReporter


@pytest.fixture
def cluster(engine: FakeEngine, names: Names, monkeypatch: pytest.MonkeyPatch) -> ClusterStep:
    """A cluster of one node that runs and is as it should be."""
    memory_nodes.Nodes(engine).add(names, names.node, "control-plane")
    engine.write_file(names.node, COMPLETE, b"{}")
    monkeypatch.setattr(Cluster, "trouble", lambda _: None)
    monkeypatch.setattr(node_status, "unready", lambda cluster, names: iter(()))
    monkeypatch.setattr(KindProvider, "stale", lambda self: None)
    monkeypatch.setattr(KindProvider, "drift", lambda self: None)
    monkeypatch.setattr(KindProvider, "asks", lambda self, node: ())
    monkeypatch.setattr(look_ahead, "ENDING", 0.5)
    names.folder.mkdir(parents=True)
    kubeconfig(names.kubeconfig, 6443)
    provider = memory_nodes.provider(engine, names, Kind(Path("kind"), NETWORK))
    return replace(ClusterStep(provider, names, "v1"), requires=())


def test_survey_begins_again_where_a_node_ends_meanwhile(cluster: ClusterStep, engine: FakeEngine) -> None:
    node, report, failures = engine.boxes[cluster.names.node], RecordingReporter(), list[SandboxError]()

    class Asking(FakeStep):
        def check(self) -> Status:
            node.running = False
            failures.append(SandboxError("its node is not running"))
            raise failures[-1]

    plan: list[Step] = [cluster, Asking("wired", set(), requires=("cluster",))]
    with engine.glance():
        states = [status.state for _, status in look_ahead.survey(plan, engine, report)]
    assert states == [State.DRIFTED, State.UNSEEN]
    assert failures and report.of("failed") == []


@pytest.mark.parametrize("answer", [(1, "stopping\n"), (126, "")], ids=["stopping", "not run"])
@pytest.mark.parametrize("checked", [SandboxError("no answer"), None])
def test_survey_awaits_the_end_of_a_node_that_shuts_down(
    cluster: ClusterStep,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    checked: SandboxError | None,
    answer: tuple[int, str],
) -> None:
    node, asked = engine.boxes[cluster.names.node], list[str]()

    def systemctl(_: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        asked.append(argv[1])
        Timer(0.1, lambda: setattr(node, "running", False)).start()
        return answer

    class Asking(FakeStep):
        def check(self) -> Status:
            if checked:
                raise checked
            return super().check()

    if not checked:
        monkeypatch.setattr(Cluster, "trouble", lambda _: "it does not answer")
    engine.programs["systemctl"] = systemctl
    plan: list[Step] = [cluster, Asking("wired", set(), requires=("cluster",))]
    with engine.glance():
        states = [status.state for _, status in look_ahead.survey(plan, engine, RecordingReporter())]
    assert states == [State.DRIFTED, State.UNSEEN]
    assert asked == ["is-system-running"]


@pytest.mark.parametrize("error", [SandboxError("no answer"), UsageError("no such file")])
def test_survey_fails_at_once_where_nodes_go_on(
    cluster: ClusterStep, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, error: SandboxError
) -> None:
    report, checks = RecordingReporter(), list[str]()
    engine.programs["systemctl"] = lambda box, argv: (1, "degraded\n")
    monkeypatch.setattr(look_ahead, "wait_until", None)

    class Failing(FakeStep):
        def check(self) -> Status:
            checks.append(self.name)
            raise error

    with engine.glance(), pytest.raises(type(error), match=str(error)):
        look_ahead.survey([cluster, Failing("wired", set(), requires=("cluster",))], engine, report)
    assert report.of("failed") == ["Wired"] and checks == ["wired"] * 2  # ahead, and in its turn
