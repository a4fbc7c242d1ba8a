"""What TLS clients make of our certificates, in handshakes; run as a program it prints their answers as Markdown."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.export_formats import FORMATS, public_roots
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.subject_names import subject_names
from tests.real.tls_clients import CLIENTS, Client, Question, java
from tests.support.tls import DOMAIN, NOW, Pki, TlsServer, make_pki, rogue_leaf, unconstrained_issuing

pytestmark = pytest.mark.real

OUTSIDE = "bank.example.com"
REASONS = (
    "certificate",
    "certification path",
    "altname",
    "alternative",
    "subtree",
    "validity check",
    "name constraints",
)
PKI = make_pki()
OTHER = make_pki()
PAST = NOW - timedelta(days=100)
OLD = make_pki(now=PAST)
GOOD = make_leaf(PKI.issuing, subject_names(DOMAIN), now=NOW)


@dataclass(frozen=True)
class Case:
    """A server with `leaf` asked for `name` by a client that trusts `root_pem`; `dissent` are the clients that err."""

    title: str
    leaf: KeyPair
    name: str = DOMAIN
    root_pem: bytes = PKI.root.cert_pem
    accepted: bool = False
    dissent: frozenset[str] = frozenset()

    def expects(self, client: Client) -> bool:
        return self.accepted is not (client.name in self.dissent)


CASES = (
    Case("the sandbox's own root", GOOD, accepted=True),
    Case("a host that the wildcard covers", GOOD, f"app.{DOMAIN}", accepted=True),
    Case("localhost", GOOD, "localhost", accepted=True),
    Case("127.0.0.1, without a server name", GOOD, "127.0.0.1", accepted=True),
    Case("another sandbox's root", GOOD, root_pem=OTHER.root.cert_pem),
    Case("two labels below the wildcard", GOOD, f"a.b.{DOMAIN}"),
    Case("another name", GOOD, "other.sandbox.localhost"),
    Case("another address", GOOD, "127.0.0.2"),
    Case("an expired leaf", make_leaf(OLD.issuing, [DOMAIN], now=PAST), root_pem=OLD.root.cert_pem),
    Case(
        "stolen issuing key: a name outside its constraints",
        rogue_leaf(PKI.issuing, x509.DNSName(OUTSIDE)),
        OUTSIDE,
    ),
    Case(
        "stolen root key: a name outside the root's constraints",
        rogue_leaf(unconstrained_issuing(PKI.root), x509.DNSName(OUTSIDE)),
        OUTSIDE,
        # Java takes a root's key and name from a truststore, and nothing else.
        dissent=frozenset({"Java"}),
    ),
)


def revocations(pki: Pki) -> bytes:
    """An empty list (PEM) for keytool to print; nothing in the sandbox is revoked."""
    signer = pem.load_certificates(pki.issuing.cert_pem)[0]
    builder = x509.CertificateRevocationListBuilder().issuer_name(signer.subject).last_update(NOW)
    signed = builder.next_update(NOW + timedelta(days=1)).sign(pem.load_key(pki.issuing.key_pem), SHA256())
    return signed.public_bytes(Encoding.PEM)


def refusal(client: Client, case: Case, folder: Path) -> str | None:
    """What `client` says against the server of `case`, None when it accepts it."""
    asked = partial(Question, case.name, root_pem=case.root_pem, folder=folder)
    with TlsServer(case.leaf, folder, answer=revocations(PKI), address=asked(port=0).address) as server:
        return client.refusal(asked(port=server.port))


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
@pytest.mark.parametrize("client", CLIENTS, ids=[client.name for client in CLIENTS])
def test_a_client_accepts_what_it_should_and_nothing_else(client: Client, case: Case, tmp_path: Path) -> None:
    client.require()
    words = refusal(client, case, tmp_path)
    assert (words is None) is case.expects(client), words or "accepted"
    # Anyone who refuses says that it is for the certificate, and not that no one is there.
    assert words is None or any(word in words.lower() for word in REASONS), words


@pytest.mark.parametrize("name", [DOMAIN, OUTSIDE])
def test_exported_truststore_makes_java_trust_only_its_sandbox(name: str, tmp_path: Path) -> None:
    CLIENTS[-1].require()
    store = tmp_path / "trust.p12"
    with TlsServer(GOOD, tmp_path, answer=revocations(PKI)) as server:
        verdicts = []
        for pki in (PKI, OTHER):
            store.write_bytes(FORMATS["p12"](pki.root.cert_pem, public_roots()))
            verdicts.append(java(Question(name, server.port, pki.root.cert_pem, tmp_path), store) is None)
    assert verdicts == [name == DOMAIN, False]


def test_exported_truststore_is_listed_by_keytool_in_both_types(tmp_path: Path) -> None:
    CLIENTS[-1].require()
    store = tmp_path / "trust.p12"
    store.write_bytes(FORMATS["p12"](PKI.root.cert_pem, public_roots()))
    for kind in ("PKCS12", "JKS"):
        argv = ["keytool", "-list", "-storetype", kind, "-keystore", str(store), "-storepass", "changeit"]
        shown = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "sandbox, " in shown
        assert "PrivateKeyEntry" not in shown
        assert shown.count("trustedCertEntry") == 1 + public_roots().count(b"BEGIN CERTIFICATE")


@pytest.mark.parametrize("pki", [PKI, OTHER], ids=["its own", "another's"])
def test_ssl_cert_file_bundle_decides_what_python_trusts(pki: Pki, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(FORMATS["bundle"](pki.root.cert_pem, public_roots()))
    ask = "import sys, urllib.request as r; r.urlopen(f'https://localhost:{sys.argv[1]}/', timeout=10)"
    with TlsServer(GOOD, tmp_path) as server:
        argv = [sys.executable, "-c", ask, str(server.port)]
        env = {**os.environ, "SSL_CERT_FILE": str(bundle), "no_proxy": "localhost"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) is (pki is PKI)
    assert pki is PKI or "CERTIFICATE_VERIFY_FAILED" in done.stderr


def markdown() -> str:
    """The clients' answers as a page, with their versions."""
    rows = ["| a server with | " + " | ".join(client.name for client in CLIENTS) + " |"]
    rows.append("|---" * (len(CLIENTS) + 1) + "|")
    for case in CASES:
        cells = []
        for client in CLIENTS:
            with tempfile.TemporaryDirectory() as folder:
                cells.append("accepted" if refusal(client, case, Path(folder)) is None else "refused")
        rows.append(f"| {case.title} | " + " | ".join(cells) + " |")
    versions = [f"- {client.name}: {_version(client)}" for client in CLIENTS]
    return "\n".join([*rows, "", *versions, ""])


def _version(client: Client) -> str:
    return subprocess.run(client.version, capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    print(markdown(), end="")
