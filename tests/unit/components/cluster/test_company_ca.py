"""The certificates of a company: which are taken of a file and of the machine, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.errors import UsageError
from sandbox.names import Names
from tests.support.trust_roots import stranger


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
        (b"\x30\x82\x01\x00", "holds no valid PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no valid PEM certificate"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_ca_is_refused(tmp_path: Path, content: bytes | None, word: str) -> None:
    file = tmp_path / "company.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=word):
        _ = CompanyCa(file).pem
    with pytest.raises(UsageError, match="/dev/zero cannot be read"):
        _ = CompanyCa(Path("/dev/zero")).pem


def test_certificates_of_the_administrator_are_taken_once(tmp_path: Path, names: Names) -> None:
    company, folder = stranger("Acme"), tmp_path / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True)
    assert CompanyCa("auto", tmp_path).pem == b""
    (folder / "acme.crt").write_bytes(b"Subject: CN=Acme\r\n" + company.replace(b"\n", b"\r\n") + b"\n" + company)
    (folder / "broken.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (folder / "notes.txt").write_bytes(company)
    keystore = Keystore(names.keys)
    keystore.authority(["demo.localhost"], now=datetime.now(UTC))
    (folder / "sandbox.crt").write_bytes(keystore.root.read().cert_pem)
    assert CompanyCa("auto", tmp_path).pem == company
    assert CompanyCa("none", tmp_path).pem == b""
