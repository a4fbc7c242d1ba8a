"""What the ingress does for applications, seen through the edge: protocols, routes, the page and the certificate."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Set
from concurrent import futures
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from sandbox.components.certificates.authority import make_issuing, make_leaf, make_root
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, SYSTEM_NAMESPACE
from sandbox.system.wait import wait_until
from tests.real import behind, browser, machine, servers
from tests.real.application import Application
from tests.real.machine import tool
from tests.real.one_sandbox.conftest import DOMAIN, REGISTRY
from tests.real.served import SECONDS, Sandbox

pytestmark = pytest.mark.real

PASSED = f"passed.{DOMAIN}"
PASSTHROUGH = {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}


@pytest.fixture(scope="module")
def sandbox(up: Application) -> Sandbox:
    return Sandbox(up.names, up.ports[0])


@pytest.fixture(scope="module")
def app(sandbox: Sandbox) -> Iterator[str]:
    host = f"asked.{DOMAIN}"
    with (
        servers.app("app", other=f"{PASSED}:{sandbox.port}") as port,
        behind.ingress(sandbox.cluster, host, port),
    ):
        sandbox.serves(host)
        yield host


def test_plain_http_is_sent_to_https_for_good(sandbox: Sandbox, app: str) -> None:
    """Pods are led to this Service by the sandbox's names."""
    service = sandbox.cluster.get("v1", "Service", "ingress", "sandbox-system") or {}
    place = f"http://{service['spec']['clusterIP']}/some/path?x=1"
    asked = ("curl", "--silent", "--include", "--max-time", "10", "--header", f"Host: {app}", place)
    answer = machine.tool("docker", "exec", sandbox.names.node, *asked)
    assert re.match(r"HTTP/1.1 30[18] ", answer)
    assert f"Location: https://{app}/some/path?x=1" in answer.splitlines()


def test_responses_have_no_hsts_header(sandbox: Sandbox, app: str) -> None:
    assert "strict-transport-security" not in sandbox.curl(app).lower()


@pytest.mark.parametrize(("option", "version"), [("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")])
def test_http_2_and_1_1_are_spoken(sandbox: Sandbox, app: str, option: str, version: str) -> None:
    assert sandbox.curl(app, option).startswith(f"{version} 200")


def test_the_application_learns_who_asks_and_how(sandbox: Sandbox, app: str) -> None:
    headers = json.loads(sandbox.curl(app).splitlines()[-1])
    assert (headers["X-Forwarded-Proto"], headers["Host"]) == ("https", f"{app}:{sandbox.port}")
    machine.require_engine_here()  # what a virtual machine forwards comes from there
    assert headers["X-Forwarded-For"] == "127.0.0.1", "this machine, as the edge sees it, and not the edge"


def test_a_large_upload_arrives_whole(sandbox: Sandbox, app: str) -> None:
    piece, pieces = b"\0\1\2\3" * (1 << 18), 100
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=60) as plain:
        connection = http.client.HTTPSConnection(app, context=sandbox.trust)
        connection.sock = sandbox.trust.wrap_socket(plain, server_hostname=app)
        headers = {"Content-Length": str(len(piece) * pieces)}
        connection.request("PUT", "/", body=iter([piece] * pieces), headers=headers)
        assert connection.getresponse().read().decode() == hashlib.sha256(piece * pieces).hexdigest()
        connection.close()


def _shout(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(str(message).upper())


def test_websockets_stay_open_both_ways(sandbox: Sandbox) -> None:
    host = f"ws.{DOMAIN}"
    with serve(_shout, behind.gateway(), 0) as server, futures.ThreadPoolExecutor(1) as pool, ExitStack() as last:
        pool.submit(server.serve_forever)
        last.callback(server.shutdown)
        with behind.ingress(sandbox.cluster, host, server.socket.getsockname()[1]):
            # A plain request is no WebSocket's: 426 is the server's own word.
            sandbox.serves(host, "426")
            plain = socket.create_connection(("127.0.0.1", sandbox.port), timeout=10)
            with connect(f"wss://{host}:{sandbox.port}/", sock=plain, ssl=sandbox.trust, proxy=None) as client:
                for word in ("one", "two", "x" * 100_000):
                    client.send(word)
                    assert client.recv(timeout=10) == word.upper()


def _grpc_server() -> tuple[grpc.Server, int]:
    def shout(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request.upper()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {"Talk": grpc.stream_stream_rpc_method_handler(shout)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Shout", handlers),))
    port = server.add_insecure_port(f"{behind.gateway()}:0")
    server.start()
    return server, int(port)


def test_grpc_streams_both_ways(sandbox: Sandbox) -> None:
    host, words = f"grpc.{DOMAIN}", [b"one", b"two", b"three"]
    server, port = _grpc_server()
    credentials = grpc.ssl_channel_credentials(sandbox.names.root_certificate.read_bytes())
    options = (("grpc.ssl_target_name_override", host), ("grpc.default_authority", host), ("grpc.enable_http_proxy", 0))

    def unanswered() -> str | None:
        with grpc.secure_channel(f"127.0.0.1:{sandbox.port}", credentials, options) as channel:
            try:
                said = list(channel.stream_stream("/test.Shout/Talk")(iter(words), timeout=10))
            except grpc.RpcError as error:
                return str(error)
        return None if said == [word.upper() for word in words] else repr(said)

    annotations = {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}
    # With the domain's certificate, which BoringSSL, gRPC's own, accepts: it has no addresses.
    with behind.ingress(sandbox.cluster, host, port, annotations=annotations):
        wait_until(unanswered, what=host, timeout=SECONDS)
    server.stop(None).wait()


@pytest.mark.nightly
def test_gateway_routes_of_both_kinds_are_served(sandbox: Sandbox, up: Application, tmp_path: Path) -> None:
    machine.require_engine_here()
    cluster, http_host, tls_host = sandbox.cluster, f"routed.{DOMAIN}", f"tunnelled.{DOMAIN}"
    own = sandbox.leaf(tls_host)
    with (
        servers.app("routed") as http_port,
        behind.route(cluster, "HTTPRoute", http_host, http_port, listener="https"),
        servers.tls_app("tunnelled", own, tmp_path / "tls") as tls_port,
        behind.route(cluster, "TLSRoute", tls_host, tls_port, listener="passthrough"),
    ):
        sandbox.serves(http_host)
        sandbox.serves(tls_host)
        assert "tunnelled answers" in sandbox.curl(tls_host, path="/who.js")
        first, end, _ = own.cert_pem.decode().partition("-----END CERTIFICATE-----\n")
        assert sandbox.presented(tls_host) == ssl.PEM_cert_to_DER_cert(first + end)
        _page_follows(sandbox, up, {http_host, tls_host})
    _page_follows(sandbox, up, set(), gone={http_host, tls_host})


@pytest.mark.nightly
def test_up_certifies_hosts_at_any_depth_of_the_domain(sandbox: Sandbox, up: Application) -> None:
    machine.require_engine_here()
    cluster, host, routed = sandbox.cluster, f"deep.below.{DOMAIN}", f"routed.below.{DOMAIN}"
    backend = {"service": {"name": "deep", "port": {"number": 0}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    wildcard = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "wild", "namespace": behind.NAMESPACE},
        "spec": {"rules": [{"host": f"*.wild.{DOMAIN}", "http": {"paths": paths}}]},
    }
    with servers.app("deep") as port, behind.ingress(cluster, host, port):
        backend["service"]["port"] = {"number": port}
        with behind.applied(cluster, wildcard), behind.route(cluster, "HTTPRoute", routed, port, listener="https"):
            said = up.command("up").out
            assert f"https://{host}:{sandbox.port}/" in said and f"https://{routed}:{sandbox.port}/" in said
            for one in (host, routed, f"any.wild.{DOMAIN}"):
                sandbox.serves(one)
            assert up.command("up", "--plan").out == ""


def test_nodes_pull_by_tls_from_a_registry_behind_the_ingress(sandbox: Sandbox) -> None:
    """The sandbox's own registry stands for one in the cluster; the node trusts the sandbox's root, and looks."""
    found = machine.engine().container(sandbox.names.registry)
    assert found is not None
    pushed = f"localhost:{next(iter(found.published[5000])).port}/tls:1"
    tool("docker", "tag", "sandbox.dev/busybox", pushed)
    try:
        tool("docker", "push", pushed)
    finally:
        tool("docker", "rmi", "--no-prune", pushed)
    inside, hosts = ("docker", "exec", sandbox.names.node), f"/etc/containerd/certs.d/{REGISTRY}/hosts.toml"
    pull = (*inside, "crictl", "pull", f"{REGISTRY}/tls:1")
    with behind.ingress(sandbox.cluster, REGISTRY, 5000, address=found.addresses[sandbox.names.network]):
        sandbox.serves(REGISTRY)
        # Go programs look at /etc/hosts every five seconds only (net/hosts.go).
        wait_until(lambda: None if "up to date" in (said := tool(*pull, status=None)) else said, what="it", timeout=20)
        tool(*inside, "sed", "--in-place=.kept", "/ca =/d", hosts)
        try:
            assert "unknown authority" in tool(*pull, status=1)
        finally:
            tool(*inside, "mv", f"{hosts}.kept", hosts)


def test_up_gives_the_root_to_labelled_namespaces(sandbox: Sandbox, up: Application) -> None:
    metadata = {"name": "trusting", "labels": {"sandbox.dev/trust": "true"}}
    sandbox.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    up.command("up")
    # After the root come those that the administrator of this machine added to its own.
    expected = sandbox.names.root_certificate.read_text() + CompanyCa("auto").pem.decode()
    config_map = sandbox.cluster.get("v1", "ConfigMap", "sandbox-root", "trusting")
    assert config_map and config_map["data"] == {"ca.crt": expected}
    assert sandbox.cluster.get("v1", "ConfigMap", "sandbox-root", "default") is None
    sandbox.cluster.delete("v1", "Namespace", "trusting")


@pytest.mark.nightly
def test_up_renders_the_page_for_unknown_hosts(sandbox: Sandbox, up: Application, app: str) -> None:
    _page_follows(sandbox, up, {app})
    with servers.app("new") as port, behind.ingress(sandbox.cluster, f"new.{DOMAIN}", port):
        _page_follows(sandbox, up, {app, f"new.{DOMAIN}"})
    _page_follows(sandbox, up, {app}, gone={f"new.{DOMAIN}"})


def _page_follows(sandbox: Sandbox, up: Application, there: Set[str], *, gone: Set[str] = frozenset()) -> None:
    up.command("up")

    def differs() -> str | None:
        page = sandbox.curl(f"nosuch.{DOMAIN}", path="/any/path")
        assert page.split()[1] == "404" and "<script" not in page
        listed = {host for host in there | gone if f'href="https://{host}:{sandbox.port}/"' in page}
        return None if listed == there else f"lists {listed}"

    wait_until(differs, what="the page", timeout=SECONDS)


def _secret(name: str, namespace: str, leaf: KeyPair) -> dict[str, Any]:
    data = {"tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


@contextmanager
def _another(sandbox: Sandbox, secret: str) -> Iterator[None]:
    """While it is entered, a Secret of a certificate of the sandbox's holds one of a stranger's authority."""
    before = sandbox.cluster.get("v1", "Secret", secret, SYSTEM_NAMESPACE)
    assert before is not None
    now = datetime.now(UTC)
    leaf = make_leaf(make_issuing(make_root([DOMAIN], now=now), [DOMAIN], now=now), [DOMAIN, f"*.{DOMAIN}"], now=now)
    other = _secret(secret, SYSTEM_NAMESPACE, leaf)
    sandbox.cluster.apply(other)
    try:
        yield
    finally:
        sandbox.cluster.apply({**other, "data": before["data"]})


@pytest.mark.parametrize("secret", [DOMAIN_TLS, DEFAULT_TLS])
def test_renewed_certificate_is_served_and_connections_stay(sandbox: Sandbox, app: str, secret: str) -> None:
    if secret == DOMAIN_TLS:
        clients = [partial(sandbox.presented, name) for name in (app, DOMAIN, f"nosuch.{DOMAIN}")]
    else:
        machine.require_engine_here()
        clients = [partial(sandbox.presented, f"no.such.host.{DOMAIN}")]
        clients += [partial(sandbox.presented, name, node=True) for name in ("elsewhere.example", None)]

    def served() -> set[bytes]:
        return {client() for client in clients}

    (old,) = served()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as plain:
        held = http.client.HTTPSConnection(app)
        held.sock = sandbox.trust.wrap_socket(plain, server_hostname=app)
        with _another(sandbox, secret):
            wait_until(lambda: "still the old" if old in served() else None, what="the other", timeout=SECONDS)
            assert len(served()) == 1
            held.request("GET", "/")
            assert held.getresponse().read()
        held.close()
    wait_until(lambda: None if served() == {old} else "still the other", what="the old", timeout=SECONDS)


@pytest.fixture(scope="module")
def chromium(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> browser.Browser:
    return browser.browser(tmp_path_factory.mktemp("home"), sandbox.names.root_certificate)


@pytest.mark.parametrize(
    ("hosts", "who"), [((DOMAIN, f"*.{DOMAIN}"), "passed"), ((PASSED,), "app")], ids=["wildcard", "own"]
)
@pytest.mark.nightly
def test_passthrough_application_needs_its_own_certificate(
    sandbox: Sandbox,
    up: Application,
    app: str,
    chromium: browser.Browser,
    tmp_path: Path,
    hosts: tuple[str, ...],
    who: str,
) -> None:
    # RFC 9113, section 9.1.1: a browser asks one host over another's connection if the certificate is good for both.
    with _passed_through(sandbox, up, tmp_path / "tls", hosts, app):
        assert f"{who} answers" in chromium.body(f"https://{PASSED}:{sandbox.port}/")


@pytest.mark.nightly
def test_passthrough_host_on_shared_connection_reconnects(
    sandbox: Sandbox, up: Application, app: str, chromium: browser.Browser, tmp_path: Path
) -> None:
    with _passed_through(sandbox, up, tmp_path / "tls", (PASSED,), app):
        assert "passed answers" in chromium.body(f"https://{app}:{sandbox.port}/page")


@contextmanager
def _passed_through(
    sandbox: Sandbox, up: Application, folder: Path, hosts: tuple[str, ...], app: str
) -> Iterator[None]:
    """While it is entered, an application at PASSED speaks TLS itself, with a certificate for `hosts`."""

    def pending() -> str | None:
        status = sandbox.status(app, "--header", f"Host: {PASSED}")
        if status != "421":
            return status
        # It may be from an earlier one of that name.
        said = sandbox.curl(PASSED, path="/who.js", status=None)
        return None if servers.script("passed") in said else said

    leaf, other = sandbox.leaf(*hosts), f"{app}:{sandbox.port}"
    with (
        servers.tls_app("passed", leaf, folder, other=other) as port,
        behind.ingress(sandbox.cluster, PASSED, port, annotations=PASSTHROUGH),
    ):
        up.command("up")
        wait_until(pending, what="status 421 and the application", timeout=SECONDS)
        yield

    def left() -> str | None:
        status = sandbox.status(app, "--header", f"Host: {PASSED}")
        return status if status == "421" else None

    up.command("up")
    wait_until(left, what="its end", timeout=SECONDS)  # what is left of it would pass for the next one's
