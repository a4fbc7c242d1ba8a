"""The facts shown to a person are those of the certificate, as openssl shows them."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError
from tests.support.tls import DOMAIN, NOW, make_pki


def test_facts_of_a_root_agree_with_openssl(tmp_path: Path) -> None:
    root = make_pki().root
    (tmp_path / "root.crt").write_bytes(root.cert_pem)
    options = ["-noout", "-fingerprint", "-sha256", "-subject", "-nameopt", "rfc2253"]
    argv = ["openssl", "x509", "-in", "root.crt", *options]
    shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    said = describe(root.cert_pem, now=NOW)
    assert said.sha256 in shown
    assert f"subject={said.subject}" in shown
    assert said.subject == said.issuer
    assert said.authority and said.permitted == (DOMAIN, "localhost") and said.hosts == ()


def test_facts_of_a_chain_are_those_of_the_leaf() -> None:
    pki, hosts = make_pki(), subject_names(DOMAIN)
    facts = describe(make_leaf(pki.issuing, hosts, now=NOW).cert_pem, now=NOW + timedelta(days=10))
    assert (facts.hosts, facts.permitted, facts.subject, facts.days_left) == (hosts, (), "", 79)
    assert facts.issuer == describe(pki.issuing.cert_pem, now=NOW).subject and not facts.authority


@pytest.mark.parametrize("damaged", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_non_certificate_is_an_error_with_a_fix(damaged: bytes) -> None:
    with pytest.raises(SandboxError, match="cannot be read") as caught:
        describe(damaged, now=NOW)
    assert caught.value.fix
