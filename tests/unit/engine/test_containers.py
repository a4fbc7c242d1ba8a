"""Containers and networks of the Docker Engine, and of Podman 4.3 where its answers differ."""

from __future__ import annotations

import io
import json
import signal
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from sandbox.engine import Bind, ContainerSpec, Engine, EngineError, container_copy, endpoint
from sandbox.engine.container_host import host_address, spare_address
from sandbox.engine.containers import _container
from sandbox.engine.engine_values import LISTENS
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import host_network
from tests.support.fakes import NETWORK, FakeEngine, FakeNetwork
from tests.support.http_server import Handler, answering

BOX: dict[str, object] = {
    "Name": "/box",
    "Id": "9fb2",
    "Image": "sha256:3529",
    "State": {"Status": "running"},
    "Config": {"Labels": {"a": "b"}, "Env": ["ONE=1"]},
    "HostConfig": {
        "NetworkMode": "bridge",
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        "Ulimits": [{"Name": "RLIMIT_NOFILE", "Soft": 1024, "Hard": 2048}],
    },
    "NetworkSettings": {"Networks": {"sandbox": {"NetworkID": "sandbox", "IPAddress": "10.89.0.2"}}},
}
BUSY = APIError("Cannot pause container 1b42: OCI runtime pause failed: unable to freeze: unknown")
PORT = {"PublicPort": 8080, "PrivatePort": 80, "IP": "127.0.0.1", "Type": "tcp"}
LISTED = [{"Id": "1", "Names": ["/other"], "Ports": None}, {"Id": "9fb2", "Names": ["/box"], "Ports": [PORT]}]
PODMAN_NETWORK = {
    **{"Name": "sandbox", "Id": "5a", "Created": "2026-11-27T07:46:55Z", "Labels": {}},
    "IPAM": {"Config": [{"Subnet": "10.89.0.0/24", "Gateway": "10.89.0.1"}]},
}
LEASES = {"start_ip": "10.89.0.1", "end_ip": "10.89.0.127"}
PODMAN_RANGE = {"subnets": [{"subnet": "10.89.0.0/24", "lease_range": LEASES}]}


class Podman(Handler):
    made: list[dict[str, object]]

    def do_GET(self) -> None:
        path = self.path.removeprefix("/v1.41")
        info = {"ServerVersion": "4.3.1", "SecurityOptions": ["name=seccomp"], "Rootless": True}
        given = {"/info": info, "/networks/5a": PODMAN_NETWORK, "/v4.0.0/libpod/networks/5a/json": PODMAN_RANGE}
        boxes = {**given, "/containers/box/json": BOX, "/containers/box-2/json": BOX}
        found: object = {"/_ping": "OK", **boxes}.get(path)
        if path.startswith("/networks?"):
            found = [{"Name": "sandbox", "Id": "5a"}]
        if path.startswith("/containers/json?"):
            found = [] if "filters" in path else LISTED
        self._say(200 if found is not None else 404, found if found is not None else {"message": "no such container"})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if "/containers/create" in self.path:
            self.made.append(given)
        self._say(*((404, "") if self.path.endswith("/update") else (201, {"Id": "new"})))

    def _say(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode() if answer != "" else b""
        self.reply(status, body, {"Api-Version": "1.41", "Libpod-Api-Version": "4.3.1"})


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    Podman.made = []
    with answering(Podman) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield Engine.connect()


class Api(SimpleNamespace):
    """The client library of an engine: calls return the values given here, or raise them; lists one after the other."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(**{name: self._method(answer) for name, answer in answers.items()})

    @staticmethod
    def _method(answer: Any) -> Any:
        def call(*_: object, **__: object) -> Any:
            value = answer.pop(0) if isinstance(answer, list) else answer
            if isinstance(value, Exception):
                raise value
            return value

        return answer if callable(answer) else call


def engine_of(api: object) -> Engine:
    engine = Engine(None)
    engine._client = SimpleNamespace(api=api)
    return engine


def test_container_that_is_being_removed_is_left_out_of_lists() -> None:
    names: dict[str, list[str]] = {"5": [], "9fb2": ["/box"], "7c": ["/renamed"]}
    listed = [{"Id": id_, "Names": name, "State": "running", "Ports": [PORT]} for id_, name in names.items()]

    def inspect(container: str) -> dict[str, object]:
        if container == "5":
            raise NotFound("no such container")
        return {**BOX, "Id": container, "Name": f"/{container}"}

    engine = engine_of(SimpleNamespace(containers=lambda **_: listed, inspect_container=inspect))
    assert [container.id for container in engine.containers("label")] == ["9fb2", "7c"]
    assert [container.name for container in engine.listed()] == ["box", "renamed"]


def test_command_has_the_output_of_both_streams_and_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("sandbox.system.interruption.pause", pauses.append)
    running, lost = {"Running": True, "ExitCode": None}, {"Running": False, "ExitCode": None}
    ends = [running, running, {"Running": False, "ExitCode": 7}, lost]
    stream = b"\1\0\0\0\0\0\0\5START" + b"\2\0\0\0\0\0\1\0" + b"x" * 256
    raw = {"_url": "", "_post_json": None, "_result": stream}
    engine = engine_of(Api(exec_create={"Id": "1"}, exec_inspect=ends, **raw))
    assert engine.execute("box", ["true"]) == (7, "START" + "x" * 256)
    assert len(pauses) == 2
    with pytest.raises(EngineError, match="running true in box failed"):
        engine.execute("box", ["true"])


@pytest.mark.parametrize(
    ("answers", "details"),
    [([BUSY, BUSY, None], ""), ([BUSY, BUSY, BUSY], "unable to freeze"), ([APIError("no space left")], "no space")],
)
def test_container_that_is_busy_is_paused_by_another_try(answers: list[Any], details: str) -> None:
    engine = engine_of(Api(pause=answers))
    refusal = pytest.raises(EngineError, match="pausing container node failed")
    with refusal if details else nullcontext() as caught:
        engine.pause("node")
    assert answers == [] and (caught is None or details in caught.value.details)


@pytest.mark.security(22)
@pytest.mark.parametrize("said", ["x", "[]", '{"80/tcp": [1]}', '{"80/tcp": 1}', '{"x": [["a", "b"]]}', "[" * 9999])
def test_label_of_another_user_is_no_port(said: str) -> None:
    """A container of the engine's other users with our label for ports, of another form → it has no such ports."""
    found = _container({**BOX, "Config": {"Labels": {LISTENS: said}}})
    assert found.published == {80: frozenset({Bind("127.0.0.1", 8080)})}


def test_answers_of_podman_mean_what_those_of_docker_mean(podman: Engine) -> None:
    assert podman.facts().rootless
    assert podman.publisher(8080) == "box" and podman.publisher(8081) is None
    podman.keep_stopped("box")
    with pytest.raises(EngineError, match="no such container"):
        podman.keep_stopped("none")
    container, network = podman.container("box"), podman.network("sandbox")
    assert container and (container.network, container.attached) == ("sandbox", {"sandbox": ""})
    assert network and (network.subnet, network.lower) == ("10.89.0.0/24", "10.89.0.0/25")
    podman.run_another("box-2", "box", {})
    (made,) = Podman.made
    host = made["HostConfig"]
    assert isinstance(host, dict) and host["NetworkMode"] == "sandbox"
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]


class Slow(Podman):
    """An engine that makes containers late: while it makes one, the command that asks for it is interrupted."""

    removed: list[str]

    def do_POST(self) -> None:
        if "/containers/create" in self.path and (main := threading.main_thread().ident):
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.2)
        super().do_POST()

    def do_GET(self) -> None:
        self._say(200, {**BOX, "Id": "new"})

    def do_DELETE(self) -> None:
        self.removed.append(self.path)
        self._say(204, "")


def test_written_file_is_newer_than_that_of_the_image() -> None:
    """The engine takes a file of the same size and time for the image's, so that no snapshot would have it."""
    tars: list[bytes] = []
    engine, before = engine_of(Api(put_archive=lambda name, folder, tar: tars.append(tar))), int(time.time())
    engine.write_files("node", {PurePosixPath("/kind/version"): b"v1.36.3"})
    with tarfile.open(fileobj=io.BytesIO(tars[0])) as tar:
        assert tar.getmember("kind/version").mtime >= before


@pytest.mark.parametrize("way", ["make", "run", "script"])
def test_container_that_is_made_meanwhile_is_removed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Slow.made, Slow.removed = [], []
    with answering(Slow) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        engine = Engine(endpoint.find())
        with pytest.raises(KeyboardInterrupt):
            if way == "make":
                engine.make("box", {}, {})
            elif way == "run":
                engine.run(ContainerSpec(name="box", image="image", command=("x",), labels={}, network="sandbox"))
            else:
                container_copy.run_script(engine, "image", "x", name="box", volumes={})
    assert len(Slow.made) == len(Slow.removed) == 1


@pytest.mark.parametrize(
    ("options", "mounts", "expected"),
    [
        (["name=selinux"], True, ["no-new-privileges", "label=disable"]),
        (["name=selinux"], False, ["no-new-privileges"]),
        (None, True, ["no-new-privileges"]),
    ],
)
def test_container_with_folders_is_not_kept_from_them_by_selinux(
    options: list[str] | None, mounts: bool, expected: list[str]
) -> None:
    engine = Engine(None)
    vars(engine)["_info"] = {"SecurityOptions": options}
    assert engine.security_options(mounts=mounts) == expected


OWN = "172.30.0.0/16"
ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
br-1 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
sb0 0000D50A 00000000 0001 0 0 0 FCFFFFFF 0 0 0
"""


class Halving:
    """An engine that chooses the range `OWN`, and refuses it as often as `taken` says when it is asked for."""

    def __init__(self, taken: int) -> None:
        self.taken = taken
        self.made: list[Sequence[Mapping[str, str]]] = []

    def inspect_network(self, _: str) -> Any:
        return {"IPAM": {"Config": [{"Subnet": OWN}, {"Subnet": "fd00::/64"}]}}

    def remove_network(self, _: str) -> None:
        pass

    def create_network(self, name: str, *, ipam: Any, **_: object) -> Mapping[str, str]:
        ranges = ipam["Config"] if ipam else []
        self.made.append(ranges)
        if ranges and self.taken:
            self.taken -= 1
            raise APIError("Pool overlaps with other one on this address space")
        return {"Id": "made"}


@pytest.mark.parametrize("taken", [0, 2])
def test_network_is_halved_in_the_range_that_the_engine_chooses(taken: int) -> None:
    api = Halving(taken)
    engine_of(api).create_network("net", {}, halved=True)
    halved = [{"Subnet": OWN, "IPRange": "172.30.0.0/17"}]
    assert api.made == [[], halved] * (taken + 1)
    with pytest.raises(SandboxError, match="making network net failed"):
        engine_of(Halving(3)).create_network("net", {}, halved=True)


def test_routes_are_read_without_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(host_network, "ROUTES", tmp_path / "route")
    assert host_network.routes() == [(IPv4Network("172.17.0.0/16"), "br-1"), (IPv4Network("10.213.0.0/30"), "sb0")]


def test_of_networks_of_one_name_a_used_one_comes_first_then_the_oldest() -> None:
    """Engines before 25 allow several."""
    created = {"newer": "2026-03", "used": "2026-04", "older": "2026-02"}

    def inspect(id_: str) -> Any:
        used = {"a": {"Name": "node"}} if id_ == "used" else {}
        known = {"Name": "net", "Id": id_, "Created": created[id_], "Labels": None, "IPAM": {"Config": None}}
        return {**known, "Containers": used}

    listed = [{"Name": "net", "Id": id_} for id_ in created] + [{"Name": "network", "Id": "longer"}]
    engine = engine_of(SimpleNamespace(networks=lambda _: listed, inspect_network=inspect))
    network = engine.network("net")
    assert network and network.id == "used"
    assert [spare.id for spare in engine.spare_networks("net")] == ["older", "newer"]


@pytest.mark.parametrize(
    ("labelled", "halved", "found"),
    [(True, True, "172.30.255.250"), (True, False, ""), (False, False, "172.30.255.250")],
)
def test_a_spare_address_leaves_the_first_ones_to_nodes(names: Names, labelled: bool, halved: bool, found: str) -> None:
    engine = FakeEngine("image:1")
    engine.create_network(NETWORK, names.labels if labelled else {}, halved=halved)
    assert spare_address(engine, NETWORK) == found
    engine.networks[NETWORK] = FakeNetwork("172.30.0.0/28", names.labels, lower="172.30.0.0/29")
    assert spare_address(engine, NETWORK) == "", "Services have the others"
    with pytest.raises(SandboxError, match="no network sandbox"):
        host_address(FakeEngine(), NETWORK, names.node)


@pytest.mark.parametrize(
    ("shares", "output", "address"),
    [
        (False, "192.168.65.254  STREAM host.docker.internal\n", "192.168.65.254"),
        (False, "", "172.30.0.1"),
        (True, "192.168.65.254  STREAM host.docker.internal\n", "172.30.0.1"),
    ],
)
def test_machine_of_another_network_is_found_by_its_name(names: Names, shares: bool, output: str, address: str) -> None:
    engine = FakeEngine("image:1")
    engine.create_network(NETWORK, {})
    engine.shares, engine.programs["getent"] = shares, lambda *_: (0 if output else 2, output)
    engine.run(ContainerSpec(name=names.node, image="image:1", command=("init",), labels={}, network=NETWORK))
    assert host_address(engine, NETWORK, names.node) == address
