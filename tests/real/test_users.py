"""Two Unix users on one engine: names, ports, edges, registries and networks of one are out of the other's reach."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.engine import Engine, labelled
from sandbox.names import EDGE, LABEL, Home, Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import Ran, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
POD = "probe"


@dataclass(frozen=True)
class Person:
    user: str
    folder: Path
    python: str
    ports: tuple[int, int]

    @property
    def home(self) -> Home:
        state = self.folder / ".local" / "state" / "sandbox"
        return Home(state, self.folder / ".cache" / "sandbox", self.folder / ".kube" / "config")

    @property
    def names(self) -> Names:
        return self.home.sandbox(self.user)

    def __call__(self, *arguments: str, status: int | None = 0) -> Ran:
        """Run a `sandbox` command as this user, in their home."""
        packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
        wanted = {"HOME": self.folder, "PYTHONPATH": packages, "PATH": f"{self.folder.parent / 'bin'}:{os.defpath}"}
        kept = {key: os.environ[key] for key in ("DOCKER_HOST", "LANG") if key in os.environ}
        words = [f"{key}={value}" for key, value in {**kept, **wanted, "SANDBOX_PROGRESS": "plain"}.items()]
        argv = ["runuser", "-u", self.user, "--", "env", "-i", *words, self.python, "-m", "sandbox", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=400, cwd=self.folder, check=False)
        assert status is None or done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, *, https: int | None = None) -> str:
        """A spec of theirs; its file's name."""
        content = {
            "name": name,
            "domain": f"{name}.sandbox.localhost",
            "registry": {"port": self.ports[1]},
            "edge": {"ports": [https or self.ports[0]]},
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        return str(file)

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.names.root_certificate))
        plain = socket.create_connection(("127.0.0.1", self.ports[0]), timeout=30)
        return context.wrap_socket(plain, server_hostname=f"x.{self.user}.sandbox.localhost")

    def kubectl(self, *arguments: str, status: int | None = 0) -> str:
        return machine.kubectl(self.names.kubeconfig, *arguments, status=status)


def containers(engine: Engine, person: Person) -> list[str]:
    """The containers whose owner is this user; their nodes carry no labels of the sandbox."""
    return [one.name for one in engine.containers(LABEL) if _is_of(one.labels, person)]


def networks(engine: Engine, person: Person) -> list[str]:
    found = (engine.network(name) for name in engine.labelled_networks(LABEL))
    return [one.name for one in found if one and _is_of(one.labels, person)]


def edge_of(engine: Engine, person: Person) -> str:
    (name,) = (one for one in containers(engine, person) if one.startswith(EDGE) and not one.endswith("-ports"))
    return name


def _is_of(labels: Mapping[str, str], person: Person) -> bool:
    owner = labelled.Owner.of(labels)
    return owner is not None and (owner.user, owner.folder) == (person.user, str(person.home.state))


def answers(connection: ssl.SSLSocket, host: str) -> bool:
    connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection.recv(4096).startswith(b"HTTP/1.1 ")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def people(engine: Engine) -> Iterator[tuple[Person, Person]]:
    """Two users who may use the engine, made for these tests; nothing of them is left."""
    if os.getuid() != 0 or not shutil.which("useradd"):
        machine.leave_out("only root makes users, by useradd")
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    group = str(Path(host.removeprefix("unix://")).stat().st_gid)
    place = Path(tempfile.mkdtemp(prefix="sandbox-users-"))
    place.chmod(0o755)
    (place / "bin").mkdir()
    shutil.copy(Store(context.home().bundle).program(recipes()["kind"], "kind"), place / "bin" / "kind")
    (place / "bin" / "docker").symlink_to(shutil.which("docker") or "docker")
    found = []
    ports = machine.free_ports(7443, 7444, 5071, 5072)
    try:
        for number, user in enumerate(("sbxann", "sbxbob")):
            tool("useradd", "--create-home", "--home-dir", place / user, "--groups", group, user)
            found.append(Person(user, place / user, _python(user), (ports[number], ports[number + 2])))
        yield found[0], found[1]
    finally:
        for one in found:
            with suppress(AssertionError):
                one("down", one.user, "--purge", status=None)
        for user in ("sbxann", "sbxbob"):
            tool("userdel", user, status=None)
        shutil.rmtree(place)


def _python(user: str) -> str:
    """A Python of this release that the user may run, with this one's packages."""
    for python in (sys.executable, f"/usr/bin/python{sysconfig.get_python_version()}"):
        words = ("env", f"PYTHONPATH={sysconfig.get_path('purelib')}", python, "-c", "import pydantic, docker")
        if subprocess.run(("runuser", "-u", user, "--", *words), capture_output=True, check=False).returncode == 0:
            return python
    machine.leave_out("other users may not run this Python")


@pytest.fixture(scope="module")
def ann(people: tuple[Person, Person]) -> Person:
    people[0]("up", "-f", people[0].write(people[0].user))
    return people[0]


@pytest.fixture(scope="module")
def bob(people: tuple[Person, Person], ann: Person) -> Person:
    """The second, whose sandbox is not up yet."""
    return people[1]


@pytest.mark.security(22)
def test_a_name_of_another_user_is_refused(ann: Person, bob: Person, engine: Engine) -> None:
    """Another user's sandbox has the name → every command refuses it, names the user, and changes nothing."""
    before = engine.container(ann.names.node), engine.container(ann.names.registry)
    file = bob.write(ann.user)
    (bob.folder / "images.yaml").write_text("images: []\n")
    for words in (
        ("up", "-f", file),
        ("up", "--plan", "-f", file),
        ("down", ann.user, "--purge"),
        ("stop", ann.user),
        ("images", "list", "-n", ann.user),
        ("images", "gc", "-n", ann.user),
        ("push-images", str(bob.folder / "images.yaml"), "-f", file, "--prune", "--yes"),
        ("snapshot", "save", "mine", "-n", ann.user),
    ):
        ran = bob(*words, status=None)
        assert ran.status == 1 and "error[name-taken]" in ran.err, f"{words}\n{ran.out}\n{ran.err}"
        assert str(ann.home.state) in ran.err
    assert (engine.container(ann.names.node), engine.container(ann.names.registry)) == before
    assert ann.user not in bob("list").out and ann.user in ann("list").out
    assert ann("up", "--plan", "-f", ann.write(ann.user)).status == 0


@pytest.mark.fault(12)
@pytest.mark.security(22)
def test_a_port_of_another_user_s_edge_is_refused(ann: Person, bob: Person, engine: Engine) -> None:
    """Another user's edge has the port → `port-in-use` with the user and the option, before anything is made."""
    ran = bob("up", "-f", bob.write(bob.user, https=ann.ports[0]), status=None)
    assert ran.status == 1 and "error[port-in-use]" in ran.err
    assert f"user {ann.user}" in ran.err and "--https-port" in ran.err
    assert containers(engine, bob) == networks(engine, bob) == []


@pytest.mark.nightly
@pytest.mark.security(22)
def test_two_users_work_concurrently_without_loss(ann: Person, bob: Person, engine: Engine) -> None:
    """A second user's sandbox comes and goes → the first one's connection, edge and routes stay."""
    edge, host = engine.container(edge_of(engine, ann)), f"x.{ann.user}.sandbox.localhost"
    with ann.connect() as connection:
        assert answers(connection, host)
        bob("up", "-f", bob.write(bob.user))
        assert answers(connection, host)
        with bob.connect() as theirs:
            assert answers(theirs, f"x.{bob.user}.sandbox.localhost")
        assert edge_of(engine, bob).startswith(f"{EDGE}-")
        assert networks(engine, bob) == [bob.names.network]
        _apart(ann, bob, engine)
        bob("down", bob.user, "--purge")
        assert answers(connection, host)
    after = engine.container(edge_of(engine, ann))
    assert edge and after and after.id == edge.id
    assert containers(engine, bob) == networks(engine, bob) == []
    assert ann("up", "--plan", "-f", ann.write(ann.user)).status == 0


def _apart(ann: Person, bob: Person, engine: Engine) -> None:
    """A pod reaches its own sandbox's registry, and not the other's by address, by name or through this machine."""
    mine, theirs = engine.container(bob.names.registry), engine.container(ann.names.registry)
    assert mine and theirs
    image, network = recipes()["busybox"].reference, engine.network(bob.names.network)
    assert network
    bob.kubectl("run", POD, f"--image={image}", "--image-pull-policy=Never", "--", "busybox", "sleep", "600")
    bob.kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=90s")
    ask = ("exec", POD, "--", "busybox", "timeout", "5", "busybox", "wget", "-q", "-O", "-")
    assert bob.kubectl(*ask, f"http://{mine.addresses[bob.names.network]}:5000/v2/") == "{}"
    for place in (
        f"{theirs.addresses[ann.names.network]}:5000",
        f"{ann.names.registry}:5000",
        f"{network.gateway}:{ann.ports[1]}",
    ):
        said = bob.kubectl(*ask, f"http://{place}/v2/", status=None)
        assert "{}" not in said, f"{place}: {said}"


@pytest.mark.nightly
@pytest.mark.fault(84)
def test_a_network_that_was_removed_is_made_again(ann: Person, engine: Engine) -> None:
    """The sandbox's network is removed under its containers → the doctor names it, and `up` repairs everything."""
    file, network = ann.write(ann.user), ann.names.network
    for one in (ann.names.node, ann.names.registry):
        engine.disconnect_network(network, one)
    assert "wiring.network" in ann("doctor", "-n", ann.user, status=None).out
    engine.remove_network(network)
    ann("up", "-f", file)
    wait_until(lambda: _silence(ann), what="HTTPS after the repair", timeout=60)
    assert ann("up", "--plan", "-f", file).status == 0


@pytest.mark.nightly
@pytest.mark.fault(84)
def test_a_network_pruned_while_stopped_is_made_again(ann: Person, engine: Engine) -> None:
    """`docker network prune` while the sandbox is stopped → `start` makes the network, and all is there again."""
    ann("stop", ann.user)
    engine.remove_network(ann.names.network)
    ann("start", ann.user)
    wait_until(lambda: _silence(ann), what="HTTPS after the start", timeout=60)


@pytest.mark.security(22)
def test_after_the_last_purge_nothing_of_a_user_is_left(ann: Person, engine: Engine) -> None:
    """`down --purge` of a user's last sandbox → no object of the engine and no file but the log is left."""
    ann("down", ann.user, "--purge")
    assert containers(engine, ann) == networks(engine, ann) == []
    assert engine.container(ann.names.node) is None
    assert {path.name for path in ann.home.state.rglob("*") if path.is_file()} <= {"sandbox.log"}


def _silence(person: Person) -> str | None:
    try:
        with person.connect() as connection:
            return None if answers(connection, f"x.{person.user}.sandbox.localhost") else "no answer"
    except OSError as error:
        return str(error)
