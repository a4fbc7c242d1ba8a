"""A sandbox's root is found among other certificates; the record of trusted roots survives and adds up."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.components.certificates.authority import make_issuing, make_root
from sandbox.errors import SandboxError
from sandbox.truststore.trusted_root import Entry, Record, in_binary, in_pem, parse
from tests.support.trust_roots import NOW, ours, stranger


def test_a_root_has_the_fingerprints_that_tools_show() -> None:
    root = ours()
    certificate = x509.load_der_x509_certificate(root.der)
    assert root.sha256 == certificate.fingerprint(SHA256()).hex()
    assert root.label == f"sandbox-root-{root.sha256[:8]}"
    assert root.common_name in certificate.subject.rfc4514_string()
    assert parse(root.pem) == root


@pytest.mark.parametrize("text", [b"", b"words", b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"])
def test_non_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(SandboxError, match="not a certificate"):
        parse(text)


def test_only_roots_of_sandboxes_are_found_in_a_bundle_or_between_other_bytes() -> None:
    pair = make_root(["demo.sandbox.localhost"], now=NOW)
    issuing = make_issuing(pair, ["demo.sandbox.localhost"], now=NOW)
    bundle = stranger() + ours(1).pem + issuing.cert_pem + stranger("Other") + ours(2).pem + ours(1).pem
    assert in_pem(bundle) == (ours(1), ours(2))
    assert in_pem(b"# nothing\n") == ()
    other = parse(stranger()).der
    data = b"\xfe\xed" + other + b"\0\0" + ours(1).der + other + ours(2).der + b"\x30\x82"
    assert in_binary(data) == (ours(1), ours(2))
    assert in_binary(other) == ()


def test_record_is_read_back_as_written(tmp_path: Path) -> None:
    record = Record(tmp_path / "trust")
    assert record.entries() == ()
    record.write(Entry(ours(1), "demo", (("nss", Path("/a")),)))
    record.write(Entry(ours(1), "", (("java", Path("/b")), ("nss", Path("/a")))))
    record.write(Entry(ours(2), "other"))
    first = Entry(ours(1), "demo", (("nss", Path("/a")), ("java", Path("/b"))))
    assert set(record.entries()) == {first, Entry(ours(2), "other")}
    assert record.certificate(ours(1)).read_bytes() == ours(1).pem
    assert stat.S_IMODE(record.folder.stat().st_mode) == 0o700
    record.forget([ours(1), ours(2), ours(3)])
    assert list(record.folder.iterdir()) == []


@pytest.mark.fault(59)
def test_damaged_notes_are_passed_over(tmp_path: Path) -> None:
    """Damaged notes on trusted stores → passed over."""
    record = Record(tmp_path)
    for number in range(4):
        record.write(Entry(ours(number), "demo"))
    record.certificate(ours(0)).unlink()
    record.certificate(ours(1)).write_text("words")
    (tmp_path / f"{ours(2).label}.json").write_text("{}")
    (tmp_path / f"{ours(3).label}.json").write_text("[")
    assert record.entries() == ()
