"""Who comes in from this machine's networks: none unless the spec says so, and then for its hosts only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sandbox.app import context
from sandbox.components.edge import lan_access
from tests.real import behind, browser, machine, servers
from tests.real.lan import HERE, NAMESPACE, THERE, from_there, ip, network
from tests.real.machine import CommandLine, Ran, tool
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-lan"
DOMAIN = f"{NAME}.sandbox.localhost"
APP, DEV = f"app.{DOMAIN}", f"dev.{DOMAIN}"
OUTSIDE = f"{NAME}.{HERE}.{lan_access.SERVICE}"
REFUSED = {7, 28}  # curl's exit codes: no connection, no answer to the attempt
ENDED = {35, 52, 56}  # a handshake that failed, nothing, a reset


@dataclass(frozen=True)
class Stranger:
    """Another machine of this one's network: a network namespace with an interface of its own."""

    port: int
    root: Path

    def curl(self, host: str, *more: str) -> tuple[int, str]:
        """curl's exit code, and what it prints for `host` at this machine's address, trusting the sandbox's root."""
        where = ["--resolve", f"{host}:{self.port}:{HERE}", f"https://{host}:{self.port}/"]
        return curl_there("--include", "--cacert", str(self.root), *more, *where)

    def status(self, host: str, *more: str) -> str:
        code, said = self.curl(host, *more)
        assert code == 0, said
        return said.split()[1]


def curl_there(*arguments: str) -> tuple[int, str]:
    """curl's exit code, and what it prints on the other machine."""
    return from_there("curl", "--silent", "--max-time", "5", *arguments)


@dataclass(frozen=True)
class Opened:
    """A sandbox that was closed first, and what was seen on the way."""

    sandbox: Sandbox
    stranger: Stranger
    command: CommandLine
    before: tuple[int, str]
    opened: Ran
    root: bytes


@pytest.fixture(scope="module")
def open_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    machine.engine()
    port, registry = machine.free_ports(9456, 5024)
    folder = tmp_path_factory.mktemp("lan")
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    names = context.home().sandbox(NAME)
    sandbox, stranger = Sandbox(names, port), Stranger(port, names.root_certificate)
    spec = {"name": NAME, "registry": {"port": registry}, "edge": {"ports": [port]}}

    def up() -> Ran:
        (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        return command("up")

    with network():
        try:
            up()
            before = stranger.curl(f"app.{OUTSIDE}")
            with (
                servers.app("app", other=f"{DEV}:{port}") as app,
                servers.app("dev") as dev,
                behind.ingress(sandbox.cluster, APP, app),
            ):
                sandbox.serves(APP)
                hosts = [{"host": DEV, "to": f"{behind.gateway()}:{dev}"}]
                spec["edge"] = {"ports": [port], "listen": "0.0.0.0", "hosts": hosts}  # noqa: S104
                root = names.root_certificate.read_bytes()
                yield Opened(sandbox, stranger, command, before, up(), root)
        finally:
            command("down", "--purge")


@pytest.mark.security(3)
def test_by_default_no_other_user_comes_in(open_one: Opened) -> None:
    """Another machine asks → the connection is refused."""
    code, said = open_one.before
    assert code in REFUSED, said


def test_sandbox_opened_later_gets_lan_certificates_by_up(open_one: Opened) -> None:
    assert f"https://app.{OUTSIDE}:{open_one.sandbox.port}/" in open_one.opened.out
    assert "certs renew" not in open_one.opened.out
    assert open_one.sandbox.names.root_certificate.read_bytes() == open_one.root


@pytest.mark.security(3)
def test_opening_to_the_network_warns_each_time(open_one: Opened) -> None:
    """`listen: 0.0.0.0` → a warning each time, with the addresses."""
    url = f"https://app.{OUTSIDE}:{open_one.sandbox.port}/"
    again = open_one.command("up").out
    assert "open to this machine's networks: 0.0.0.0" in again
    assert url in again
    assert f"https://*.{OUTSIDE}:{open_one.sandbox.port}/" in open_one.command("status").out
    shown = open_one.command("edge", "url", APP, "--qr").out
    assert url in shown
    assert "▀" in shown


@pytest.mark.security(4)
def test_a_neighbour_with_a_route_does_not_reach_the_registry(open_one: Opened) -> None:
    """Another machine routes packets for the sandbox's containers here → the registry does not answer it."""
    engine, names = machine.engine(), open_one.sandbox.names
    network = engine.network(names.network)
    assert network
    ip("-n", NAMESPACE, "route", "add", network.subnet, "via", HERE)
    found = engine.container(names.registry)
    assert found
    url = f"http://{found.addresses[names.network]}:5000/v2/"
    code, said = curl_there("--header", "Host: localhost", url)
    assert (code in REFUSED | ENDED, said) == (True, "")


def test_other_machine_reaches_application_by_lan_name(open_one: Opened) -> None:
    code, said = open_one.stranger.curl(f"app.{OUTSIDE}")
    assert code == 0, said
    headers = json.loads(said.splitlines()[-1])
    assert headers["Host"] == f"{APP}:{open_one.sandbox.port}"
    assert headers["X-Forwarded-Host"] == f"app.{OUTSIDE}:{open_one.sandbox.port}"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-For"].split(",")[0] == THERE
    assert headers["X-Real-Ip"] == THERE


def test_other_machine_cannot_forge_its_client_address(open_one: Opened) -> None:
    _, said = open_one.stranger.curl(f"app.{OUTSIDE}", "--header", "X-Forwarded-For: 6.6.6.6")
    assert "6.6.6.6" not in said
    _, said = open_one.stranger.curl(APP, "--header", "X-Forwarded-For: 6.6.6.6")
    headers = json.loads(said.splitlines()[-1])
    assert (headers["X-Forwarded-For"], headers["Host"]) == (THERE, f"{APP}:{open_one.sandbox.port}")


def test_a_server_outside_the_cluster_has_such_a_name_too(open_one: Opened) -> None:
    code, said = open_one.stranger.curl(f"dev.{OUTSIDE}")
    assert code == 0, said
    headers = {name.lower(): value for name, value in json.loads(said.splitlines()[-1]).items()}
    assert (headers["host"], headers["x-forwarded-for"]) == (f"{DEV}:{open_one.sandbox.port}", THERE)
    assert headers["x-forwarded-host"] == f"dev.{OUTSIDE}:{open_one.sandbox.port}"


@pytest.mark.security(5)
@pytest.mark.parametrize(
    "host", ["attacker.example", f"app.other.{HERE}.{lan_access.SERVICE}", f"app.{NAME}.test", HERE]
)
def test_a_name_that_is_not_ours_gets_nothing(open_one: Opened, host: str) -> None:
    """Another machine asks the edge for a foreign name → the connection ends."""
    code, said = open_one.stranger.curl(host, "--insecure")
    assert (code in ENDED, said) == (True, "")


@pytest.mark.security(5)
@pytest.mark.parametrize("host", ["attacker.example", APP, DEV, f"other.{OUTSIDE}"])
def test_host_other_than_the_connections_name_gets_421(open_one: Opened, host: str) -> None:
    """`Host` is another than the connection's name → 421."""
    assert open_one.stranger.status(f"app.{OUTSIDE}", "--header", f"Host: {host}") == "421"


def test_browser_asking_ingress_for_an_outside_host_gets_421(open_one: Opened, tmp_path: Path) -> None:
    sandbox = open_one.sandbox
    sandbox.serves(APP, "421", "--header", f"Host: {DEV}")
    chromium = browser.browser(tmp_path, sandbox.names.root_certificate)
    assert "dev answers" in chromium.body(f"https://{APP}:{sandbox.port}/page")


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_this_machine_comes_in_by_both_addresses_of_loopback(open_one: Opened, address: str) -> None:
    port = open_one.sandbox.port
    where = ["--resolve", f"{APP}:{port}:{address}", f"https://{APP}:{port}/"]
    said = tool("curl", "-sS", "--include", "--cacert", open_one.sandbox.names.root_certificate, *where)
    assert said.split()[1] == "200"
