"""Which spec a command means; `up` with a spec from elsewhere, or with the name of another: asked, refused, kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sandbox.app import context
from sandbox.app.agreement import Agreement
from sandbox.app.chosen_spec import find as find_spec
from sandbox.app.core import Sandbox
from sandbox.app.edge import ports
from sandbox.app.session import Session
from sandbox.app.views import known_sandboxes
from sandbox.app.views.known_sandboxes import Known
from sandbox.cli import output
from sandbox.cli.app import sandbox as root
from sandbox.cli.doctor import machine
from sandbox.cli.options import Call, call, named_spec_options, progress_option
from sandbox.cli.up import up
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import ContainerSpec, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import ClusterError
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.plan.saved_spec import RememberedStep
from tests.support import in_process
from tests.support.api_server import kubeconfig
from tests.support.fakes import FakeEngine, NoWork
from tests.support.ports import free_port
from tests.support.repositories import committed, made

MOUNT = "name: demo\ncluster: {mounts: [{host: /, node: /host}]}\n"


class Reached(Exception):
    """`up` got past all questions, with this spec."""


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, quiet: None) -> None:
    def reached(spec: Spec, *_: object) -> Any:
        raise Reached(spec)

    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))
    monkeypatch.setattr(ports, "reserve", reached)


def run(*arguments: str, typed: str = "") -> Result:
    return change("up", *arguments, typed=typed)


def change(command: str, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(root, [*command.split(), *words], input=typed, obj=False, standalone_mode=False)


def reached(*arguments: str, typed: str = "") -> Spec:
    """The spec that `up` went on with."""
    ran = run(*arguments, typed=typed)
    assert isinstance(ran.exception, Reached), (ran.exception, ran.output)
    spec: Spec = ran.exception.args[0]
    return spec


def refused(*arguments: str, typed: str = "") -> SandboxError:
    ran = run(*arguments, typed=typed)
    assert isinstance(ran.exception, SandboxError), (ran.exception, ran.output)
    return ran.exception


def brought_up(content: dict[str, Any], origin: Origin | None) -> Names:
    """A sandbox whose spec is remembered, with its origin, or from a release that kept none."""
    spec = ResolvedSpec.model_validate_json(json.dumps(content))
    names = context.home().sandbox(spec.name)
    RememberedStep(names, spec).apply(NoWork())
    with saved_spec.coming_from(names, origin):
        pass
    return names


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return made(tmp_path / "team.git", {"sandbox.yaml": MOUNT})


@pytest.mark.security(17)
def test_fetched_spec_needs_trust_once_for_each_commit(repository: Path) -> None:
    """`up --from GIT` without a terminal → exit 2, with its commit and the folder to read; --trust is for one commit"""
    source = f"file://{repository}"
    error = refused("--from", source)
    assert (error.id, error.exit_code) == ("untrusted", 2)
    assert f"{source}, commit " in error.details and error.fix.endswith("--trust")
    folder = Path(error.details.rpartition("read it  ")[2])
    assert (folder / "sandbox.yaml").read_text() == MOUNT
    assert not context.home().agreed.exists() and not context.home().sandbox("demo").folder.exists()
    assert reached("--from", source, "--trust").name == reached("--from", source).name == "demo"
    committed(repository, {"k8s/a.yaml": ""})
    assert refused("--from", source).id == "untrusted"


@pytest.mark.security(17)
@pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_fetched_spec_is_asked_for_at_a_terminal(
    repository: Path, monkeypatch: pytest.MonkeyPatch, typed: str, goes_on: bool
) -> None:
    """`up --from GIT` at a terminal → one question, whose answer is kept; Enter declines."""
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    ran = run("--from", f"file://{repository}", typed=typed)
    assert f"file://{repository}, commit " in ran.stderr and "trust it?" in ran.stderr
    assert isinstance(ran.exception, Reached) if goes_on else getattr(ran.exception, "id", "") == "declined"
    assert context.home().agreed.exists() is goes_on


@pytest.mark.security(17)
@pytest.mark.parametrize("more", [(), ("--plan",)])
def test_fetched_spec_is_not_parsed_before_an_answer(tmp_path: Path, more: tuple[str, ...]) -> None:
    """A spec that is not valid and names files outside → the question comes first, and nothing of it is read."""
    source = f"file://{made(tmp_path / 'x.git', {'sandbox.yaml': 'apply: [../../up.yaml'})}"
    ran = run("--from", source, *more)
    assert ("apply: [../../up.yaml" in ran.stdout) if more else ("untrusted" in repr(vars(ran.exception)))
    assert not context.home().agreed.exists()


@pytest.mark.security(17)
def test_plan_of_a_fetched_spec_asks_nothing_and_keeps_no_trust(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up --from GIT --plan` → the text of its sandbox.yaml, exit 0; --trust plans it; nothing is kept."""
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    source = f"file://{repository}"
    ran = run("--from", source, "--plan", typed="y\n")
    assert (ran.return_value, ran.stdout) == (0, MOUNT)
    assert "this is the spec's own text" in ran.stderr
    assert refused("--from", source, "--plan", "-o", "json", typed="y\n").id == "untrusted"
    assert "spec's own text" not in run("--from", source, "--plan", "--trust").output
    assert not context.home().agreed.exists()


@pytest.mark.security(17)
def test_fetched_spec_inherits_no_cluster(tmp_path: Path) -> None:
    """A fetched spec with the name of a sandbox in the team's cluster → it neither gets there, nor goes on unasked."""
    cluster = {"provider": "existing", "context": "team-prod", "namespace": "demo-ann"}
    brought_up({"name": "demo", "cluster": cluster, "registry": {"external": "reg.example.com"}}, None)
    source = f"file://{made(tmp_path / 'x.git', {'sandbox.yaml': 'name: demo'})}"
    spec = reached("--from", source, "--trust", "--yes")
    assert (spec.cluster.provider, spec.cluster.context, spec.registry.external) == ("kind", None, None)
    assert refused("--from", source, "--trust").id == "other-origin"


@pytest.mark.security(17)
def test_name_of_another_origin_is_refused(repository: Path, tmp_path: Path) -> None:
    """The name of a sandbox from another file or repository, in both directions → named, and only by --yes."""
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    file = Origin.of(tmp_path / "sandbox.yaml")
    brought_up({"name": "demo"}, file)
    error = refused("--from", f"file://{repository}", "--trust")
    assert (error.id, error.exit_code) == ("other-origin", 2)
    assert file.source in error.details and f"file://{repository}, commit" in error.details and "--yes" in error.fix
    brought_up({"name": "demo"}, Origin(kind="git", source=f"file://{repository}", revision="1" * 40))
    assert refused().id == "other-origin"
    assert reached("--yes").name == "demo"
    assert reached("--from", f"file://{repository}", "--trust").name == "demo", "another commit of the same"
    brought_up({"name": "demo"}, file)
    (tmp_path / "link").symlink_to(tmp_path)
    assert reached("-f", "link/sandbox.yaml").name == "demo", "the same file"
    assert reached("demo").name == "demo", "by its name alone it is the one that is remembered"


def clones(tmp_path: Path, *folders: str) -> list[str]:
    """The specs of two or more clones of one project, the first of which is up."""
    files = [tmp_path / folder / "sandbox.yaml" for folder in folders]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("domain: shop.example.com\n")
    brought_up({"name": "shop"}, Origin.of(files[0]))
    return list(map(str, files))


def test_second_clone_gets_a_name_of_its_own_after_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` in a second clone → one question or --yes; then every command there means the clone's own sandbox."""
    first, second, third = clones(tmp_path, "a/shop", "b/shop", "c/shop")
    error = refused("-f", second)
    assert error.id == "other-origin" and first in error.details
    own = error.fix.split("'")[1]
    assert error.fix == f"add --yes to create '{own}' next to it" and own.startswith("shop-") and len(own) == 9
    assert reached("-f", second, "--yes").name == own
    assert "`up` asks, or takes --yes" in run("-f", second, "--plan").stderr
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    assert reached("-f", second, typed="y\n").domain == f"{own}.example.com"
    assert refused("-f", second, typed="n\n").id == "declined"
    names = brought_up({"name": own}, Origin.of(Path(second)))
    assert reached("-f", second).name == own, "it is not asked again"
    assert change(f"config validate -f {second}").output.startswith(f"valid: name {own},")
    assert reached("-f", first).name == "shop"
    assert reached("-f", third, "--yes").name not in ("shop", own)
    RememberedStep(names, ResolvedSpec(name=own)).undo()
    assert refused("-f", second, typed="n\n").id == "declined"
    names.keys.mkdir(parents=True)
    assert reached("-f", second).name == own, "its certificates are kept, and so is its name"


def test_clone_that_waited_for_another_does_not_replace_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two first `up --yes` of clones at once → the second, after it waited, is refused; again, it has its own name."""
    first, second = clones(tmp_path, "a/shop", "b/shop")
    RememberedStep(context.home().sandbox("shop"), ResolvedSpec(name="shop")).undo()
    alone = Session.alone

    def waited(session: Session, name: str, *words: Any, **options: Any) -> Any:
        brought_up({"name": "shop"}, Origin.of(Path(first)))
        return alone(session, name, *words, **options)

    monkeypatch.setattr(Session, "alone", waited)
    assert "while this command waited" in refused("-f", second, "--yes").brief
    assert reached("-f", second, "--yes").name != "shop"


def test_sandboxes_without_a_folder_are_removed_after_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """`down --gone` → only what has no folder any more, after a question that names it, or with --yes."""
    removed: list[str] = []

    def remove(sandbox: Sandbox, **_: object) -> bool:
        removed.append(sandbox.name)
        return True

    monkeypatch.setattr(Sandbox, "down", remove)
    found = [Known(name, "running", "", f"/work/{name}", gone=name != "kept") for name in ("kept", "a", "b")]
    monkeypatch.setattr(known_sandboxes, "sandboxes", lambda: found)
    error = change("down --gone").exception
    assert isinstance(error, SandboxError) and error.id == "consent" and error.details == "a  /work/a\nb  /work/b"
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    assert isinstance(change("down --gone", typed="n\n").exception, SandboxError) and removed == []
    assert change("down --gone --yes").exception is None and removed == ["a", "b"]
    found.clear()
    assert "the folders of all sandboxes are there" in change("down --gone").stderr
    assert isinstance(change("down a --gone").exception, UsageError)


def test_options_for_fetched_specs_need_one(tmp_path: Path) -> None:
    for option in ("--trust", "--identity=sha256:0"):
        assert refused(option).id == "usage"
    assert refused("--from", str(tmp_path), "--identity=sha256:0").id == "usage"


@pytest.fixture
def changing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder whose spec is named `demo` after the sandbox of another folder.

    Commands stop after the question about the origin, before they change the sandbox.
    """
    agreed = Sandbox.agree_on_origin

    def agree(sandbox: Sandbox, doing: str, agreement: Agreement | None = None) -> None:
        agreed(sandbox, doing, agreement)
        raise Reached

    monkeypatch.setattr(Sandbox, "agree_on_origin", agree)
    file, other = tmp_path / "sandbox.yaml", tmp_path / "other" / "sandbox.yaml"
    other.parent.mkdir()
    for spec in (file, other):
        spec.write_text("name: demo\napply: [k8s]\n")
    file.with_name("images.yaml").write_text("images: []\n")
    brought_up({"name": "demo", "apply": [str(other.parent / "k8s")]}, Origin.of(other))
    return other


@pytest.mark.security(17)
@pytest.mark.parametrize(
    "command",
    [
        *("down --purge", "stop", "start", "pause", "snapshot save", "snapshot restore", "snapshot delete x"),
        *("push-images images.yaml", "images gc", "credentials add docker", "credentials remove x"),
        *("credentials refresh", "certs renew", "restart web", "addons enable redis", "addons disable redis"),
    ],
)
def test_no_command_changes_another_folders_sandbox(changing: Path, command: str) -> None:
    """Any command that changes or deletes, in a second checkout → both files named, nothing changed but by --yes."""
    error = change(command).exception
    assert isinstance(error, SandboxError), error
    assert (error.id, error.exit_code, "--yes" in error.fix) == ("other-origin", 2, True)
    assert f"before  {changing}\nnow     {Path('sandbox.yaml').absolute()}\n" in error.details
    assert isinstance(change(command, "--yes").exception, Reached)
    assert isinstance(change("down demo").exception, Reached), "the name is typed"


def test_sandbox_of_the_earlier_name_of_a_spec_is_told(tmp_path: Path) -> None:
    """`name` is changed in sandbox.yaml → `up` names the sandbox that stays under the earlier one."""
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    brought_up({"name": "before"}, Origin.of(Path("sandbox.yaml")))
    brought_up({"name": "other"}, Origin.of(Path("other.yaml")))
    said = "'before' is of the same spec, under another name; to remove it: sandbox down before"
    ran = run().output
    assert said in ran and ran.count("sandbox down") == 1


def test_spec_of_the_folder_is_brought_up_under_a_new_name(tmp_path: Path) -> None:
    """`up NAME` in a second checkout → the folder's spec under that name, also the next time."""
    file = tmp_path / "sandbox.yaml"
    file.write_text("name: shop\nedge: {ports: [9443]}\n")
    spec = reached("feature")
    assert (spec.name, spec.domain, spec.edge.ports) == ("feature", "feature.sandbox.localhost", (9443,))
    brought_up({"name": "feature"}, Origin.of(file))
    assert reached("feature").edge.ports == (9443,)
    assert reached("-f", str(file), "third").name == "third"


def test_sandbox_name_alone_means_the_spec_of_its_last_up(tmp_path: Path) -> None:
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


def test_progress_is_chosen_by_quiet_by_an_option_or_by_a_variable() -> None:
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


def test_sandbox_name_is_read_from_the_argument_or_from_option_name() -> None:
    @click.command()
    @named_spec_options
    def show() -> None:
        click.echo(call().name or "")

    for words in (["demo"], ["-n", "demo"], ["--name", "demo"], ["demo", "-n", "demo"]):
        assert in_process.run(show, *words).output == "demo\n"
    assert in_process.run(show).output == "\n"
    with pytest.raises(click.UsageError, match="NAME is demo, and -n is shop"):
        in_process.run(show, "-n", "shop", "demo")
