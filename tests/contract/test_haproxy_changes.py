"""The edge's own container while routes and certificates change under it: nothing new fails, nothing open ends."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import haproxy, routes
from sandbox.components.edge.container import CAPABILITIES, EdgeContainer
from sandbox.components.edge.route import Host, RegistryRoute, Route
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system.wait import wait_until
from tests.contract.edges import IMAGE, _engine
from tests.support.http_server import Handler, serving
from tests.support.ports import free_port
from tests.support.tls import presenting

LOCAL = "127.0.0.1"
DOMAIN = "demo.test"
APP = f"app.{DOMAIN}"
RELOADS = 40


class Echo(socketserver.BaseRequestHandler):
    """The ingress: a TLS server behind the PROXY protocol that answers HTTP, and sends back what comes otherwise."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            head = self.request.recv(16, socket.MSG_WAITALL)
            if len(head) == 16:
                self.request.recv(int.from_bytes(head[14:]), socket.MSG_WAITALL)
                self.speak()

    def speak(self) -> None:
        if not self.request.recv(1, socket.MSG_PEEK):
            return  # the edge only looked whether anybody listens
        server = self.server
        assert isinstance(server, Ingress)
        with server.context.wrap_socket(self.request, server_side=True) as stream:
            while data := stream.recv(1 << 16):
                if data.startswith(b"GET "):
                    server.asked.append(data)
                    status = b"200 OK" if server.knows_hosts else b"404 Not Found"
                    stream.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data))
                else:
                    stream.sendall(data)


class Ingress(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self.context = context
        self.knows_hosts = True
        self.asked: list[bytes] = []
        super().__init__((address, 0), Echo)

    def clients(self) -> int:
        """How many asked for a host of the sandbox."""
        return sum(f"Host: {DOMAIN}".encode() in one for one in self.asked)


class Outside(Handler):
    """A program of this machine's: says the headers it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = "".join(f"{name}: {value}\n" for name, value in self.headers.items()).encode()
        self.reply(200, text)


@dataclass
class Stand:
    """An edge with one sandbox, whose ingress and whose dev server are of the test's own."""

    engine: Engine
    box: EdgeContainer
    keystore: Keystore
    root: Path
    port: int
    open_port: int | None
    gateway: str
    ingress: Ingress
    outside: str
    known: list[Route] = field(default_factory=list)

    def route(self, *hosts: Host, name: str = "demo", domain: str = DOMAIN, aliases: tuple[str, ...] = ()) -> Route:
        listen = ((LOCAL, self.port), *(((self.gateway, self.open_port),) if self.open_port else ()))
        place, network = self.ingress.server_address[1], self.box.name
        return Route(
            name, domain, f"{self.gateway}:{place}", listen, 1.0, hosts=hosts, aliases=aliases, network=network
        )

    def certify(self, *hosts: str) -> None:
        pair = self.keystore.leaf("edge", hosts, now=datetime.now(UTC))
        routes.save_key(self.box.folder, "demo", pair.key_pem + pair.cert_pem)

    def follow(self, *known: Route) -> None:
        self.keep(*known)
        self.box.follow()

    def keep(self, *known: Route) -> None:
        """Have the folder contain these routes alone."""
        for gone in routes.load(self.box.folder):
            routes.remove(self.box.folder, gone.name)
        for route in known:
            routes.save(self.box.folder, route)

    def connect(self, host: str | None, *, address: str = LOCAL, port: int = 0) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.root))
        if host is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection((address, port or self.port), timeout=20)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def certificate(self, host: str) -> bytes:
        """What a client of the host is shown."""
        with self.connect(host) as stream:
            return stream.getpeercert(binary_form=True) or b""

    def get(self, host: str, *headers: str, name: str = "", port: int = 0) -> str:
        with self.connect(host, port=port) as stream:
            lines = [f"GET / HTTP/1.1\r\nHost: {name or host}", *headers, "Connection: close\r\n\r\n"]
            stream.sendall("\r\n".join(lines).encode())
            found = b""
            with contextlib.suppress(ssl.SSLError):
                while data := stream.recv(1 << 16):
                    found += data
                    if name == "" and found.endswith(b"\r\n\r\n") and b"GET / " in found:
                        break
            return found.decode()


both_ways = pytest.mark.parametrize("stand", ["host", "published"], indirect=True)


@pytest.fixture
def stand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stand]:
    """An edge in this machine's network where the engine has that, or an open one whose ports the engine publishes."""
    engine, kind = _engine(), getattr(request, "param", "host")
    is_open = kind == "published"
    if is_open:
        request.getfixturevalue("monkeypatch").setattr(Engine, "shares_network", lambda _: False)
    client = engine._client
    name = f"sandbox-test-{uuid.uuid4().hex[:8]}"
    network = client.networks.create(name, driver="bridge")
    network.reload()
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    keystore = Keystore(tmp_path / "keys")
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    leaf = keystore.leaf("default", (DOMAIN, f"*.{DOMAIN}"), now=datetime.now(UTC))
    context = presenting(leaf, tmp_path)
    # A long folder, as users' homes may be: longer than a socket's address.
    box = EdgeContainer(engine, Home(tmp_path / ("edge" * 20), tmp_path, tmp_path), name)
    try:
        every = "0.0.0.0"  # noqa: S104
        with (
            serving(Ingress(gateway, context)) as ingress,
            serving(ThreadingHTTPServer((every, 0), Outside)) as outside,
        ):
            box.folder.mkdir(parents=True)
            made = Stand(
                engine,
                box,
                keystore,
                keystore.root.cert,
                free_port(),
                free_port() if is_open else None,
                gateway,
                ingress,
                f"localhost:{outside.server_address[1]}",
            )
            made.keep(made.route())
            box.start(IMAGE)
            wait_until(lambda: silence(made), what="the edge", timeout=20, pause=0.05)
            yield made
    finally:
        box.remove()
        network.remove()


def silence(stand: Stand) -> str | None:
    try:
        with stand.connect(APP):
            return None
    except OSError as error:
        return f"{error}: {stand.engine.logs(stand.box.name)}"


def answers(stand: Stand, host: str) -> str | None:
    """How a host is not yet answered by what is outside; the ingress, which a worker of before asks, repeats all."""
    found = stand.get(host)
    return None if " 200 " in found and "GET / " not in found else found or "nothing"


def unlike(stand: Stand, **health: str) -> str | None:
    """How the servers of the sandbox's nodes are, if not so."""
    found = {one.name: one.health for one in stand.box.control.servers() if one.backend == "demo"}
    return None if found == health else str(found)


def refusal(stand: Stand, host: str) -> str | None:
    """Why there is no connection for a host: the worker of before a reload may take some more."""
    try:
        stand.connect(host).close()
    except OSError as error:
        return str(error)
    return None


@pytest.mark.security(15)
@pytest.mark.real
def test_edge_has_only_the_rights_it_needs(stand: Stand) -> None:
    """The edge's container → no right but to open ports, which its workers give up; limits on memory and processes."""
    found = stand.engine._client.api.inspect_container(stand.box.name)
    host = found["HostConfig"]
    in_host = host["NetworkMode"] == "host"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"] or ()) == (set(CAPABILITIES) if in_host else set())
    assert not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["Memory"], host["PidsLimit"]) == (768 << 20, 1024)
    of_machine = [mount for mount in found["Mounts"] if mount["Type"] == "bind"]
    assert [mount["Source"] for mount in of_machine] == ([f"{stand.box.folder}/run"] if in_host else [])
    if in_host:
        rights = (Path(f"/proc/{worker}/status").read_text() for worker in _worker_processes(stand))
        assert all("CapEff:\t0000000000000000" in text for text in rights)
    status, said = stand.engine.execute(stand.box.name, ["haproxy", "-c", "-f", f"{haproxy.FOLDER}/haproxy.cfg"])
    assert status == 0, said


def _worker_processes(stand: Stand) -> list[int]:
    top = stand.engine._client.api.top(stand.box.name, ps_args="-eo pid,uid")
    found = [int(pid) for pid, uid in top["Processes"] if uid != "0"]
    assert found
    return found


@pytest.mark.real
@both_ways
def test_host_may_end_at_the_edge_and_route_outside(stand: Stand) -> None:
    shop = f"shop.{DOMAIN}"
    stand.certify(APP, shop)
    stand.follow(stand.route(Host(APP, terminate=True, to=stand.outside), Host(shop, terminate=True)))
    wait_until(lambda: answers(stand, APP), what=APP, timeout=10)
    said = stand.get(
        APP, "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Forwarded-Port: 1"
    )
    assert "6.6.6.6" not in said
    headers = dict(line.split(": ", 1) for line in said.lower().splitlines() if ": " in line)
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"] == APP
    assert headers["x-forwarded-port"] == "443"
    if stand.open_port is None:  # else the engine's forwarder seems to be the client
        assert headers["x-forwarded-for"] == LOCAL
    assert f"host: {shop}" in stand.get(shop).lower()
    assert "x-forwarded-proto: https" in stand.get(shop).lower()
    # The same connection is not for a host that is passed through, whatever a browser believes.
    assert " 421 " in stand.get(APP, name=f"other.{DOMAIN}")
    if stand.open_port is not None:
        return
    by_name = {server.backend: server for server in stand.box.control.servers()}
    assert by_name[f"to:{APP}"].health == "UP"
    assert by_name[f"to:{APP}"].total >= 2
    assert by_name["demo"].health == "UP"


@pytest.mark.real
def test_listening_node_gets_clients_once_it_answers_the_probe(stand: Stand) -> None:
    with serving(Ingress(str(stand.ingress.server_address[0]), stand.ingress.context)) as late:
        late.knows_hosts = False
        stand.follow(
            replace(stand.route(), replicas=(f"{stand.gateway}:{late.server_address[1]}",), proof="ready.test")
        )
        wait_until(lambda: unlike(stand, node="UP", node1="DOWN"), what="the check", timeout=20)
        late.asked.clear()
        for _ in range(10):
            assert " 200 " in stand.get(DOMAIN)
        assert late.clients() == 0
        late.knows_hosts = True
        wait_until(lambda: unlike(stand, node="UP", node1="UP"), what="the check", timeout=20)
        for _ in range(10):
            assert " 200 " in stand.get(DOMAIN)
        assert late.clients() > 0


@pytest.mark.real
def test_alias_ends_at_edge_and_ingress_gets_its_real_host(stand: Stand) -> None:
    alias = f"alias.{DOMAIN}"
    stand.certify(alias, f"*.{alias}")
    stand.follow(stand.route(aliases=(alias,)))
    wait_until(lambda: refusal(stand, f"x.{alias}"), what="the new worker", timeout=10)
    said = stand.get(f"x.{alias}").lower()
    assert f"\nhost: x.{DOMAIN}\r" in said
    assert f"x-forwarded-host: x.{alias}" in said
    # It is the same server, but a name of the connection it came by is not for another host's pages to use.
    assert " 421 " in stand.get(f"x.{alias}", name=f"y.{alias}")


@pytest.mark.real
def test_edge_serves_its_last_configuration_after_a_restart(stand: Stand) -> None:
    shop = f"shop.{DOMAIN}"
    stand.certify(shop)
    stand.follow(stand.route(Host(shop, terminate=True)))
    stand.certify(shop, f"late.{DOMAIN}")
    stand.follow(stand.route(Host(shop, terminate=True), Host(f"late.{DOMAIN}", terminate=True)))
    assert "x-forwarded-proto" in stand.get(f"late.{DOMAIN}").lower()
    stand.engine._client.api.restart(stand.box.name, timeout=1)
    wait_until(lambda: silence(stand), what="the edge", timeout=20, pause=0.05)
    assert "x-forwarded-proto" in stand.get(f"late.{DOMAIN}").lower()


@pytest.mark.real
@both_ways
def test_client_of_no_known_host_gets_the_page_only_locally(stand: Stand) -> None:
    for host in (None, APP):
        with stand.connect(host) as stream:
            assert stream.version()
    if stand.open_port is None:
        return
    with stand.connect(APP, address=stand.gateway, port=stand.open_port) as stream:
        assert stream.version()
    with pytest.raises(OSError):
        stand.connect(None, address=stand.gateway, port=stand.open_port)


def echoes(stream: ssl.SSLSocket) -> bool:
    """Whether a connection that is passed through to the ingress still is."""
    word = uuid.uuid4().hex.encode()
    stream.sendall(word)
    found = b""
    while len(found) < len(word) and (data := stream.recv(1 << 10)):
        found += data
    return found == word


@contextlib.contextmanager
def knocking(stand: Stand, port: int = 0) -> Iterator[list[str]]:
    """New connections one after another for the length of the block, from two clients; what failed of them."""
    done, failures, opened = threading.Event(), list[str](), list[str]()

    def knock() -> None:
        while not done.is_set():
            try:
                found = stand.get(APP, port=port)
                opened.append(found)
                if " 200 " not in found:
                    failures.append(found[:100])
            except OSError as error:
                failures.append(repr(error))

    clients = [threading.Thread(target=knock, daemon=True) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield failures
    finally:
        done.set()
        for client in clients:
            client.join()
    assert opened


@pytest.mark.fault(83)
@pytest.mark.real
def test_connection_survives_forty_reloads_and_a_port_change(stand: Stand) -> None:
    """40 reloads and a port that comes and goes, with clients → no connection ends, and none is refused."""
    base, further = stand.route(), free_port()
    stand.certify(f"o.{DOMAIN}")
    with contextlib.ExitStack() as stack, knocking(stand) as failures:
        streams = [stack.enter_context(stand.connect(APP))]
        for number in range(RELOADS):
            outside = Host(f"o.{DOMAIN}", terminate=True, to=f"10.0.0.1:{number + 1}")
            stand.follow(replace(base, hosts=(outside,)))
            assert all(map(echoes, streams)), number
            streams.append(stack.enter_context(stand.connect(APP)))  # every worker has a user to serve
        stand.follow(replace(base, listen=(*base.listen, (LOCAL, further))))
        with stand.connect(APP, port=further) as other:
            stand.follow(base)
            assert all(map(echoes, (*streams, other)))
        wait_until(lambda: None if refusal_at(further) else "open", what="the port's end", timeout=20)
    assert failures == []


@pytest.mark.real
def test_connections_survive_when_a_port_opens_to_all_addresses_and_closes_again(stand: Stand) -> None:
    base, further = stand.route(), free_port()
    other = replace(base, name="other", domain="other.test", listen=((LOCAL, further),))
    stand.follow(base, other)
    with knocking(stand, further) as failures, stand.connect(APP) as first:
        stand.follow(replace(base, listen=(("0.0.0.0", stand.port),)), other)  # noqa: S104
        for address in (stand.gateway, "::1"):
            with stand.connect(APP, address=address) as stream:
                assert echoes(stream)
        stand.follow(base, other)
        assert refusal_at(stand.port, stand.gateway)
        with stand.connect(APP) as last:
            assert echoes(first)
            assert echoes(last)
    assert failures == []


@pytest.mark.security(20)
@pytest.mark.real
def test_port_of_another_edge_is_refused_and_not_shared(stand: Stand, tmp_path: Path) -> None:
    """A second edge on the machine → it may not listen where the first one does, though both are HAProxy."""
    theirs = EdgeContainer(stand.engine, Home(tmp_path / "theirs", tmp_path, tmp_path), f"{stand.box.name}-2")
    routes.REGISTRIES.save(theirs.folder, RegistryRoute("x", stand.port, "127.0.0.1:1"))
    try:
        with pytest.raises(SandboxError) as caught:
            theirs.start(IMAGE)
    finally:
        theirs.remove()
    assert caught.value.id == "port-in-use" and f"127.0.0.1:{stand.port}" in caught.value.brief
    assert " 200 " in stand.get(APP)


def refusal_at(port: int, address: str = LOCAL) -> str | None:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError as error:
        return str(error)
    return None
