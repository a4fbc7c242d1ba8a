"""Which spec a command means, by what it is given and what is remembered."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.chosen_spec import find as find_spec
from sandbox.cli.doctor import machine
from sandbox.cli.options import Call, call, named_spec_options, progress_option
from sandbox.cli.up import up
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import ContainerSpec, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import ClusterError
from sandbox.plan.saved_spec import RememberedStep
from tests.support import in_process
from tests.support.api_server import kubeconfig
from tests.support.fakes import FakeEngine, NoWork
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("quiet")


def test_a_name_means_what_was_last_brought_up_under_it(tmp_path: Path) -> None:
    assert find_spec(None, "demo") == Spec(name="demo")
    names = context.home().sandbox("demo")
    kept = ResolvedSpec(name="demo", domain="demo.example.org")
    RememberedStep(names, kept).apply(NoWork())
    assert find_spec(None, "demo") == kept
    assert find_spec(None, None) == Spec()
    names.spec.write_text("{")
    assert find_spec(None, "demo") == Spec(name="demo")
    with pytest.raises(UsageError):
        find_spec(None, "../demo")
    (tmp_path / "sandbox.yaml").write_text("name: shop\n")
    assert find_spec(None, None).name == find_spec(Path("sandbox.yaml"), "shop").name == "shop"
    assert find_spec(Path("sandbox.yaml"), "demo").domain == "demo.sandbox.localhost"


def test_command_for_the_pods_of_a_stopped_sandbox_tells_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`logs`, `exec` and others; where its node runs, they meet the API server's own error."""
    names, engine = context.home().sandbox("demo"), FakeEngine("i:1")
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    engine.create_network("net", {})
    engine.run(ContainerSpec(name=names.node, image="i:1", command=("i",), network="net", labels={}))
    names.folder.mkdir(parents=True)
    kubeconfig(names.kubeconfig, free_port())
    _, cluster, _ = Call(name="demo").running()
    with pytest.raises(ClusterError, match="does not answer"):
        cluster.list("v1", "Pod")
    engine.stop(names.node)
    with pytest.raises(SandboxError, match="the sandbox 'demo' is stopped") as caught:
        Call(name="demo").running()
    assert (caught.value.id, caught.value.fix) == ("not-up", "sandbox start demo")


def test_quiet_is_a_way_of_progress() -> None:
    @click.command()
    @progress_option
    def command() -> None:
        click.echo(call().progress)

    assert CliRunner().invoke(command).output == "auto\n"
    for words, progress in (("-q", "quiet"), ("--progress plain", "plain"), ("", "json")):
        ran = CliRunner(env={"SANDBOX_PROGRESS": "json"}).invoke(command, words.split())
        assert ran.output == f"{progress}\n"


@pytest.mark.parametrize("typed", ["inf", "-1", "1e300", "90000", "soon"])
@pytest.mark.parametrize(("command", "option"), [(up, "--lock-timeout"), (machine, "--seconds")])
def test_seconds_that_no_clock_counts_are_refused(command: click.Command, option: str, typed: str) -> None:
    with pytest.raises(click.BadParameter, match=r"range|number of seconds"):
        in_process.run(command, f"{option}={typed}")


def test_name_is_an_argument_or_an_option() -> None:
    @click.command()
    @named_spec_options
    def show() -> None:
        click.echo(call().name or "")

    for words in (["demo"], ["-n", "demo"], ["--name", "demo"], ["demo", "-n", "demo"]):
        assert in_process.run(show, *words).output == "demo\n"
    assert in_process.run(show).output == "\n"
    with pytest.raises(click.UsageError, match="NAME is demo, and -n is shop"):
        in_process.run(show, "-n", "shop", "demo")
