"""The demos do what they say, from Python: data outlives its pods, clients need certificates, exports are the same."""

from __future__ import annotations

import contextlib
import html
import http.client
import shutil
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import Sandbox
from sandbox.kube.api import Cluster
from sandbox.oci.client import Client
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly]

DEMOS = Path(__file__).parents[2] / "fixtures" / "demos"


def renamed(demo: str, into: Path) -> Path:
    """The demo under another name and on other ports, so that a developer's own may stay up meanwhile."""
    port, registry = machine.free_ports(9443, 5061)
    folder = into / demo
    shutil.copytree(DEMOS / demo, folder)
    for file in [*folder.glob("k8s/*.yaml"), folder / "sandbox.yaml"]:
        text = file.read_text().replace(f"{demo}.sandbox.localhost", f"test-{demo}.sandbox.localhost")
        file.write_text(text.replace("localhost:5001", f"localhost:{registry}"))
    spec = yaml.safe_load((folder / "sandbox.yaml").read_text())
    spec |= {"name": f"test-{demo}", "registry": {"port": registry}, "edge": {"ports": [port]}}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    return folder


@pytest.fixture(scope="module", autouse=True)
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    machine.engine()
    path = tmp_path_factory.mktemp("kube") / "config"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(path))
        yield path


def post(book: Sandbox, text: str) -> int:
    address = urllib.parse.urlsplit(book.url(book.domain))
    host, port = str(address.hostname), address.port or 443
    connection = http.client.HTTPSConnection(host, port)
    connection.sock = book.ssl_context().wrap_socket(
        socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname=host
    )
    with contextlib.closing(connection):
        connection.request("POST", "/cgi-bin/index.cgi", urllib.parse.urlencode({"text": text}))
        return connection.getresponse().status


def page(book: Sandbox) -> str:
    return book.get(book.domain).read().decode()


def digests(of: Sandbox) -> dict[str, str | None]:
    with Client(f"http://{of.registry}") as client:
        return {name: client.manifest_digest(name, "1") for name in client.catalog() if name.startswith("guestbook/")}


@pytest.mark.timeout(2400)
def test_guestbook_keeps_entries_and_is_exported_whole(tmp_path: Path) -> None:
    CommandLine()("bundle", "build", "valkey", timeout=1200)
    folder, exported = renamed("guestbook", tmp_path), tmp_path / "exported"
    with Sandbox(folder) as book:
        assert post(book, "first & <foremost>") == 303
        assert "first & <foremost>" in html.unescape(page(book)) and "<foremost>" not in page(book)
        cluster = Cluster(book.kubeconfig)
        (pod,) = cluster.list("v1", "Pod", "guestbook", selector="app=database")
        cluster.delete("v1", "Pod", pod["metadata"]["name"], "guestbook")

        def lacks() -> str | None:
            try:
                found = page(book)
            except OSError as error:  # while the application waits for its database
                found = str(error)
            return None if "foremost" in found else found

        wait_until(lacks, what="the entries of before", timeout=60)
        CommandLine()("export", exported, "-n", book.name)
        before = digests(book)
    assert set(before) == {"guestbook/valkey", "guestbook/app"}
    # Nothing but the folder is left of the first one: neither its data nor its certificates.
    shutil.rmtree(folder)
    with Sandbox(exported) as again:
        assert digests(again) == before
        assert {part.state for part in again.parts()} == {"ready"}
        assert "<li>" not in page(again), "data is not carried"


def test_the_bank_lets_in_only_clients_with_a_certificate(tmp_path: Path) -> None:
    with Sandbox(renamed("mtls", tmp_path)) as bank:
        with pytest.raises(ssl.SSLError, match="ALERT"):
            bank.get("bank").read()
        leaves = bank.root_certificate.parent / "leaves"
        teller = bank.ssl_context()
        teller.load_cert_chain(leaves / "bank.teller-tls.crt", leaves / "bank.teller-tls.key")
        answer = bank.get("bank", context=teller)
        assert (answer.status, answer.read().decode().partition(",")[0]) == (200, "welcome")
        stranger = bank.ssl_context()
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-days", "2"]
        tool("openssl", "req", "-x509", *options, "-keyout", key, "-out", cert)
        stranger.load_cert_chain(cert, key)
        with pytest.raises(ssl.SSLError, match="ALERT"):
            bank.get("bank", context=stranger).read()
