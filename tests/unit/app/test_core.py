"""The sandbox as an object: what its block brings up it takes away, and nothing else; importing it costs nothing."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox import Sandbox, SandboxError, Spec
from sandbox.app import context as world
from sandbox.app import machine_plan, requirements
from sandbox.app.agreement import Agreement, agree_on_origin
from sandbox.app.edge import ports
from sandbox.app.running import snapshots
from sandbox.app.session import Session, wake_paused
from sandbox.cli.prompts import Asking
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.steps import ClusterStep
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.cluster_schema import Registry
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import ContainerSpec, Engine
from sandbox.engine.labelled import NameTaken
from sandbox.plan import saved_spec
from sandbox.plan.saved_spec import RememberedStep
from sandbox.provider import Standing
from sandbox.snapshot.snapshot_restore import Restoring
from sandbox.snapshot.snapshot_store import Store
from sandbox.step import State, Status
from sandbox.system.sandbox_lock import Busy
from tests.support.fakes import FakeEngine, FakeStep, NoWork, RecordingReporter
from tests.support.http_server import Handler, answering
from tests.support.tls import NOW, TlsServer, make_pki, presenting


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The world of a sandbox that is made of two parts; what is in the set is there."""
    found: set[str] = set()

    class Own:
        kubernetes = "v1"

    def steps(spec: Spec, *, purge: bool = False, **_: object) -> Any:
        parts = (FakeStep("cluster", found), FakeStep("apply", found, ("cluster",)))
        return parts if spec.apply or not purge else parts[:1], FakeEngine(), Own()

    @contextmanager
    def reserve(spec: Spec, *_: Any) -> Iterator[ResolvedSpec]:
        yield ResolvedSpec.of(spec, registry=5005, https=(8444,))

    monkeypatch.setattr(machine_plan, "steps", steps)
    monkeypatch.setattr(ports, "reserve", reserve)
    monkeypatch.setattr(requirements, "require", lambda *_: None)
    monkeypatch.setattr(requirements, "provide_tools", lambda *_: None)
    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))
    return found


def test_sandbox_is_up_inside_the_block_and_gone_after_it(there: set[str]) -> None:
    report = RecordingReporter()
    with Sandbox(Spec(name="x"), report=report) as up:
        assert there == {"cluster", "apply"}
        assert [(part.name, part.state) for part in up.parts()] == [("cluster", "ready"), ("apply", "ready")]
        assert (up.name, up.domain, up.context) == ("x", "x.sandbox.localhost", "sandbox-x")
        assert up.registry == "localhost:5005"
        assert up.url("hello") == "https://hello.x.sandbox.localhost:8444/"
        assert up.url("other.example", "/p") == "https://other.example:8444/p"
        for path, requested in (("p", "/p"), ("?q=1", "/?q=1"), ("", "/")):
            assert up.url("hello", path) == f"https://hello.x.sandbox.localhost:8444{requested}"
    assert "cluster" not in there
    assert report.of("finished") == ["Cluster", "Apply"]


@pytest.mark.fault(54)
def test_up_names_a_malformed_proxy_variable(there: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY that is no URL → up says so, and not a word of its password; `proxy: {}` wants none."""
    for name in ("https_proxy", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy:abc")
    for network, words in (({}, ["HTTPS_PROXY names no proxy"]), ({"proxy": {}}, [])):
        heard: list[str] = []
        Sandbox(Spec.model_validate({"name": "x", "network": network}), session=Session(say=heard.append)).up()
        said = [text for text in heard if "PROXY" in text]
        assert len(said) == len(words) and all(word in said[0] and "secret" not in said[0] for word in words)


def test_a_part_that_need_not_be_recreated_is_named(there: set[str]) -> None:
    heard: list[str] = []
    sandbox = Sandbox(Spec(name="x"), session=Session(say=heard.append))
    sandbox.up(recreate=["cluster"])
    assert heard == [], "it was not there"
    sandbox.up(recreate=["cluster"])
    assert heard == ["Cluster stays: the spec needs no other"]


@pytest.mark.parametrize("act", [Sandbox.up, Sandbox.down])
def test_killed_snapshot_restore_is_finished_before_any_change(
    there: set[str], monkeypatch: pytest.MonkeyPatch, act: Callable[[Sandbox], object]
) -> None:
    there.add("cluster")
    noted = Store(world.home().snapshots).restoring("x")
    noted.mkdir(parents=True)
    (noted / "state.json").touch()
    parts_at_recovery: list[set[str]] = []

    def recover(restoring: Restoring) -> None:
        parts_at_recovery.append(set(there))
        shutil.rmtree(noted)

    monkeypatch.setattr(Restoring, "recover", recover)
    act(Sandbox(Spec(name="x")))
    assert parts_at_recovery == [{"cluster"}] != [there]
    assert not noted.exists()


@pytest.mark.parametrize("act", [Sandbox.up, Sandbox.start])
def test_lost_cluster_is_not_replaced_in_silence(
    there: set[str], monkeypatch: pytest.MonkeyPatch, act: Callable[[Sandbox], object]
) -> None:
    """Its nodes were removed by others → `up` and `start` say what is lost; only a yes makes a new cluster."""
    names, made = world.home().sandbox("x"), list[object]()
    nodes = kind_provider.nodes(cast("Any", FakeEngine()), names)
    provider = SimpleNamespace(standing=lambda: Standing.ABSENT, nodes=nodes)
    lost = ClusterStep(cast("Any", provider), names, "v1", requires=())

    def apply(step: ClusterStep, work: object) -> Status:
        made.append(step)
        return Status(State.READY)

    monkeypatch.setattr(ClusterStep, "apply", apply)
    monkeypatch.setattr(machine_plan, "steps", lambda *_, **__: ((lost,), FakeEngine(), SimpleNamespace(kubernetes="")))
    monkeypatch.setattr(machine_plan, "without_files", lambda _: (lost,))
    RememberedStep(names, ResolvedSpec(name="x")).apply(NoWork())
    names.kubeconfig.touch()
    with pytest.raises(SandboxError, match="the cluster of 'x' is gone") as caught:
        act(Sandbox(Spec(name="x")))
    assert (caught.value.id, caught.value.exit_code, made) == ("lost-data", 2, [])
    assert "all that its pods stored" in caught.value.details
    act(Sandbox(Spec(name="x"), agreement=Asking(yes=True)))
    assert made == [lost]


def test_down_removes_what_killed_commands_left(there: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names, engine = world.home().sandbox("x"), FakeEngine("busybox:1")
    engine.create_network(names.network, names.labels)
    for name in (names.copier, names.thawer, names.registry):
        box = ContainerSpec(name=name, image="busybox:1", command=("x",), labels=names.labels, network=names.network)
        engine.run(box)
    names.addon_values.mkdir(parents=True)
    (names.addon_values / "grafana.yaml").touch()  # an addon that a command enabled has no step in the plan either
    monkeypatch.setattr(machine_plan, "steps", lambda *_, **__: ((), engine, None))
    assert Sandbox(Spec(name="x")).down()
    assert engine.boxes.keys() == {names.registry}  # whose step is not in this plan
    assert not names.addon_values.exists()


def test_down_says_nothing_of_removing_another_users_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def refused(*_: object, **__: object) -> None:
        raise NameTaken("the name demo is taken by a sandbox of user ann")

    monkeypatch.setattr(machine_plan, "steps", refused)
    with pytest.raises(NameTaken):
        Sandbox(Spec(name="demo"), session=Session(say=said.append)).down(purge=True)
    assert said == []


@pytest.mark.parametrize(("keep", "existed"), [(True, False), (False, True), (False, False)])
def test_sandbox_that_existed_or_is_kept_stays_after_the_block(there: set[str], keep: bool, existed: bool) -> None:
    there |= {"cluster"} if existed else set()
    with pytest.raises(ZeroDivisionError), Sandbox(Spec(name="x"), keep=keep) as up:
        assert not keep or up.up() is False
        raise ZeroDivisionError
    assert ("cluster" in there) is (keep or existed)


class Echo(Handler):
    def do_GET(self) -> None:  # the base class's name
        self.reply(200, f"{self.headers['Host']} {self.path}".encode())


def test_page_is_requested_whatever_names_mean_on_this_machine(tmp_path: Path) -> None:
    pki = make_pki("x.sandbox.localhost")
    context = presenting(make_leaf(pki.issuing, ("hello.x.sandbox.localhost",), now=NOW), tmp_path)
    with answering(Echo, context) as server:
        sandbox = Sandbox(Spec(name="x"))
        sandbox._resolved = ResolvedSpec.of(sandbox.spec, registry=5005, https=(server.server_port,))
        sandbox.root_certificate.parent.mkdir(parents=True)
        sandbox.root_certificate.write_bytes(pki.root.cert_pem)
        host = f"hello.x.sandbox.localhost:{server.server_port}"
        for path, requested in {
            "/a/b?c=1": "/a/b?c=1",
            "": "/",
            "?c=1": "/?c=1",
            "/ä b?c=ä%20b": "/%C3%A4%20b?c=%C3%A4%20b",
            "/a#part": "/a",
            "/a;b=1,2/@c": "/a;b=1,2/@c",
        }.items():
            response = sandbox.get("hello", path)
            assert (response.status, response.read().decode()) == (200, f"{host} {requested}")
        with pytest.raises(ssl.SSLCertVerificationError):
            sandbox.get("hello", context=ssl.create_default_context())


def test_clients_trust_the_users_own_certificate(tmp_path: Path) -> None:
    own = make_leaf(make_pki("x.sandbox.localhost").issuing, ["x.sandbox.localhost"], now=NOW)
    (tmp_path / "own.crt").write_bytes(own.cert_pem)  # as one of a public CA, without its root
    found = Sandbox(
        Spec.model_validate({"name": "x", "certs": {"default": {"cert": tmp_path / "own.crt", "key": "k"}}})
    )
    found.names.root_certificate.parent.mkdir(parents=True)
    found.names.root_certificate.write_bytes(make_pki().root.cert_pem)
    assert found.root_certificate == tmp_path / "own.crt"
    with TlsServer(own, tmp_path) as server:
        found._resolved = ResolvedSpec.of(found.spec, registry=5005, https=(server.port,))
        assert found.get("x.sandbox.localhost").status == 200


def test_the_spec_may_be_a_file_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "My Shop").mkdir()
    (tmp_path / "My Shop" / "sandbox.yaml").touch()
    assert Sandbox(tmp_path / "My Shop").name == "my-shop"
    (tmp_path / "sandbox.yaml").write_text("name: mine\n")
    assert Sandbox(tmp_path).name == Sandbox(str(tmp_path / "sandbox.yaml")).name == "mine"
    assert Sandbox().name == "sandbox"
    monkeypatch.chdir(tmp_path)
    assert Sandbox().name == "mine"
    with pytest.raises(SandboxError, match="no such file"):
        Sandbox(tmp_path / "none.yaml")


def test_import_of_package_and_plugin_loads_nothing_heavy() -> None:
    code = "import sys, sandbox, sandbox.app.pytest_plugin; print(*(m for m in sys.modules if m.startswith('sandbox')))"
    heavy = "; assert not {'pydantic', 'docker', 'kubernetes', 'cryptography', 'yaml'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sandbox", "sandbox.app", "sandbox.app.pytest_plugin"]


def suite(folder: Path, *options: str, ini: str = "", conftest: str = "") -> str:
    """Run two tests that use the fixture; return what pytest prints."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    (folder / "test_it.py").write_text("def test_1(sandbox): assert sandbox\ndef test_2(sandbox): assert sandbox\n")
    argv = [sys.executable, "-m", "pytest", "-s", "-q", "-rN", *options]
    return subprocess.run(argv, capture_output=True, text=True, cwd=folder, check=False).stdout


SANDBOX = """
from sandbox.app import core

class Sandbox:
    def __init__(self, spec, *, keep):
        print("MADE", spec, keep)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

core.Sandbox = Sandbox
"""


def test_fixture_gives_one_sandbox_to_all_tests(tmp_path: Path) -> None:
    printed = suite(tmp_path, "--keep-sandbox", ini="sandbox_spec = k8s/sandbox.yaml", conftest=SANDBOX)
    assert printed.count("MADE") == 1 and f"MADE {tmp_path}/k8s/sandbox.yaml True" in printed
    assert "2 passed" in printed


def test_fixture_shows_what_failed_with_its_fix(tmp_path: Path) -> None:
    printed = suite(tmp_path, ini="sandbox_spec = nosuch.yaml")
    assert printed.count(f"{tmp_path}/nosuch.yaml: no such file or folder\nfix: `sandbox init` writes one") == 2
    assert "During handling" not in printed and "loader.py" not in printed and "2 errors" in printed


@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("doing", "loss"),
    [("down", "removed, with all data"), ("restore", "replaced by the snapshot"), ("push", "--prune deletes tags")],
)
def test_fetched_spec_does_not_replace_one_of_another_origin(tmp_path: Path, doing: str, loss: str) -> None:
    """A program or another file brought it up → a fetched spec is refused, and the error names the loss."""
    names, file = world.home().sandbox("demo"), tmp_path / "sandbox.yaml"
    RememberedStep(names, ResolvedSpec(name="demo")).apply(NoWork())
    agree_on_origin(names, Origin.of(file), doing, Agreement())
    fetched = Origin(kind="git", source="https://git.test/team/app")
    for origin, earlier in ((None, "by a program"), (Origin.of(file), f"{file} (not there any more)")):
        with saved_spec.coming_from(names, origin):
            pass
        with pytest.raises(SandboxError, match="was brought up from elsewhere") as caught:
            agree_on_origin(names, fetched, doing, Agreement())
        assert caught.value.id == "other-origin"
        assert loss in caught.value.details and earlier in caught.value.details


@pytest.mark.parametrize("wrong", [{"name": "No Name"}, {"registry": Registry(port=443)}])
def test_spec_that_a_program_made_is_checked_like_a_file(wrong: dict[str, Any], there: set[str]) -> None:
    with pytest.raises(ValueError, match=r"lower-case letters|one of the edge's ports"):
        Sandbox(Spec(**wrong)).up()
    assert there == set()


class Placed(FakeEngine):
    """An engine at an address."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__()
        self.called, self.at = name, address

    def id(self) -> str:
        return self.called

    @property
    def address(self) -> str:
        return self.at


HERE, THERE = Placed("a", "unix:///a.sock"), Placed("b", "tcp://me:secret@b:2375")


@pytest.fixture
def use(there: set[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Placed], None]:
    """Have commands use an engine from now on."""
    made = machine_plan.steps

    def using(engine: Placed) -> None:
        monkeypatch.setenv("DOCKER_HOST", engine.at)
        monkeypatch.setattr(Engine, "connect", staticmethod(lambda: engine))
        monkeypatch.setattr(machine_plan, "steps", lambda spec, **more: (made(spec, **more)[0], engine, made(spec)[2]))

    return using


@pytest.mark.fault(60)
def test_sandbox_of_another_engine_is_refused(use: Callable[[Placed], None]) -> None:
    """DOCKER_HOST names another engine than the last `up` had → commands refuse it; `down` says what stays."""
    use(HERE)
    sandbox, said = Sandbox(Spec(name="x")), list[str]()
    RememberedStep(sandbox.names, ResolvedSpec(name="x")).apply(NoWork())
    sandbox.up()
    use(THERE)
    sandbox.names.paused.touch()
    acts: list[Callable[[], object]] = [sandbox.up, sandbox.plan, sandbox.status, sandbox.stop, sandbox.pause]
    acts += [sandbox.start, lambda: machine_plan.registry_url(sandbox.spec), lambda: wake_paused(sandbox.names)]
    acts += [lambda: snapshots.restore(sandbox, None, lambda _: None), lambda: snapshots.save(sandbox, None)]
    for act in acts:
        with pytest.raises(SandboxError, match="was brought up on another engine") as caught:
            act()
        assert caught.value.id == "other-engine"
    assert sandbox.names.paused.exists(), "it still is paused there"
    assert "unix:///a.sock" in caught.value.details and "tcp://b:2375" in caught.value.details
    Sandbox(Spec(name="x"), session=Session(say=said.append)).down()
    assert said[0].endswith("remove what is there by: DOCKER_HOST=unix:///a.sock sandbox down x")


@pytest.mark.parametrize("engine", [Placed("a", "unix:///run/a.sock"), Placed("new", "unix:///a.sock")])
def test_same_engine_by_address_or_id_is_no_other(use: Callable[[Placed], None], engine: Placed) -> None:
    use(HERE)
    RememberedStep(world.home().sandbox("x"), ResolvedSpec(name="x")).apply(NoWork())
    Sandbox(Spec(name="x")).up()
    use(engine)
    sandbox = Sandbox(Spec(name="x"))
    sandbox.up()
    assert saved_spec.recorded_engine(sandbox.names) == saved_spec.engine_of(engine)
    remote = Placed("a", "tcp://me:sec@ret@b:2375")
    assert saved_spec.engine_of(remote)["address"] == "tcp://me@b:2375", "no password is recorded"


@pytest.mark.fault(9)
def test_second_dev_is_refused_with_the_process_of_the_first() -> None:
    """`sandbox dev` of a sandbox that another one follows → at once an error with its process; after it, it works."""
    session, begun = Session(command="sandbox dev"), time.monotonic()
    with session.following("demo"), session.following("other"):
        with pytest.raises(Busy) as caught, session.following("demo"):
            pass
        assert time.monotonic() - begun < session.patience / 100
        assert caught.value.brief == "another command works on the files of 'demo'"
        assert f"`sandbox dev` (pid {os.getpid()}, since" in caught.value.details
        assert caught.value.fix == f"wait for it, or end it: kill {os.getpid()}"
    with session.following("demo"):
        pass
    assert not world.home().lock("demo").exists()
