"""Certificates that a user brings: the good ones, and each fault with the file, the evidence and the way out."""

from __future__ import annotations

import os
import ssl
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.user_certificate import Provided
from sandbox.errors import UsageError
from tests.support.tls import DOMAIN, NOW, handshake, make_pki

HOSTS = (DOMAIN, f"*.{DOMAIN}")
PKI = make_pki()
LEAF = make_leaf(PKI.issuing, HOSTS, now=NOW)


def files(folder: Path, chain_pem: bytes, key_pem: bytes) -> Provided:
    provided = Provided(folder / "own.pem", folder / "own.key")
    provided.cert.write_bytes(chain_pem)
    provided.key.write_bytes(key_pem)
    return provided


def refused(provided: Provided, *, domain: str = DOMAIN) -> UsageError:
    with pytest.raises(UsageError) as caught:
        provided.require(domain)
    assert caught.value.fix
    assert caught.value.details
    assert caught.value.id == "certificate"
    return caught.value


def test_chain_with_root_is_accepted_and_served_without_it(tmp_path: Path) -> None:
    provided = files(tmp_path, LEAF.cert_pem + PKI.root.cert_pem, LEAF.key_pem)
    provided.require(DOMAIN)
    assert provided.root_pem() == PKI.root.cert_pem
    assert provided.leaf() == LEAF
    assert DOMAIN in handshake(provided.leaf(), f"app.{DOMAIN}", provided.root_pem(), tmp_path)


def test_a_self_signed_rsa_certificate_is_good(tmp_path: Path) -> None:
    provided = Provided(tmp_path / "own.pem", tmp_path / "own.key")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own"]
    names = "subjectAltName=" + ",".join(f"DNS:{host}" for host in HOSTS)
    written = ["-keyout", str(provided.key), "-out", str(provided.cert)]
    subprocess.run([*argv, *written, "-addext", names], check=True, capture_output=True)
    provided.require(DOMAIN)
    assert provided.leaf().cert_pem == provided.root_pem() == provided.cert.read_bytes()
    handshake(provided.leaf(), DOMAIN, provided.root_pem(), tmp_path, strict=False)


def test_a_root_that_the_machine_trusts_need_not_be_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provided = files(tmp_path, LEAF.cert_pem, LEAF.key_pem)
    assert "issuer" in refused(provided).details
    (tmp_path / "store.pem").write_bytes(PKI.root.cert_pem)
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(tmp_path / "store.pem"))
    provided.require(DOMAIN)
    assert provided.root_pem() == b""


def test_key_of_another_certificate_or_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    other = make_leaf(PKI.issuing, HOSTS, now=NOW)
    assert "own.key is not the key" in refused(files(tmp_path, LEAF.cert_pem, other.key_pem)).brief
    key = pem.load_key(LEAF.key_pem)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    error = refused(files(tmp_path, LEAF.cert_pem, locked))
    assert "has a passphrase" in error.brief
    assert error.fix.startswith("openssl pkey -in")


@pytest.mark.parametrize(
    ("hosts", "made", "reason"),
    [
        ((f"*.{DOMAIN}",), NOW, "Hostname mismatch"),
        ((DOMAIN, f"app.{DOMAIN}"), NOW, "Hostname mismatch"),
        (HOSTS, NOW - timedelta(days=91), "certificate has expired"),
        (HOSTS, NOW + timedelta(days=2), "certificate is not yet valid"),
    ],
)
def test_hosts_and_dates_are_those_that_clients_accept(
    tmp_path: Path, hosts: tuple[str, ...], made: datetime, reason: str
) -> None:
    issuer = make_pki(now=made)
    leaf = make_leaf(issuer.issuing, hosts, now=made)
    error = refused(files(tmp_path, leaf.cert_pem + issuer.root.cert_pem, leaf.key_pem))
    assert error.details.startswith(reason) and "UTC" in error.details
    assert all(host in error.details for host in hosts)


def test_non_pem_is_refused_with_a_reason(tmp_path: Path) -> None:
    der = pem.load_certificates(LEAF.cert_pem)[0].public_bytes(Encoding.DER)
    assert "inform der" in refused(files(tmp_path, der, LEAF.key_pem)).fix
    for key in (b"junk", LEAF.cert_pem):
        assert "holds no readable private key" in refused(files(tmp_path, LEAF.cert_pem, key)).brief
    damaged = LEAF.cert_pem.replace(b"\n", b"\nAA", 1)
    assert "holds no valid PEM certificate" in refused(files(tmp_path, damaged, LEAF.key_pem)).brief
    error = refused(files(tmp_path, LEAF.cert_pem, LEAF.key_pem.replace(b"PRIVATE KEY", b"PRIVATE KE", 1)))
    assert LEAF.key_pem.splitlines()[1].decode() not in f"{error.brief}{error.details}{error.fix}"
    provided = files(tmp_path, LEAF.cert_pem, LEAF.key_pem)
    provided.key.unlink()
    assert "own.key cannot be read" in refused(provided).brief
    os.mkfifo(provided.key)  # nothing writes into it
    assert "not a regular file" in refused(provided).details
