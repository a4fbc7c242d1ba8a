"""The facts shown to a person are those of the certificate, openssl being the witness; a glance remembers them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.components.certificates import facts, pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import describe, is_pair, is_signed, permitted_domains
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError
from tests.support.tls import DOMAIN, NOW, make_pki


def test_facts_of_a_root_agree_with_openssl(tmp_path: Path) -> None:
    root = make_pki().root
    (tmp_path / "root.crt").write_bytes(root.cert_pem)
    argv = [
        "openssl",
        "x509",
        "-in",
        "root.crt",
        "-noout",
        "-fingerprint",
        "-sha256",
        "-subject",
        "-nameopt",
        "rfc2253",
    ]
    shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    said = describe(root.cert_pem, now=NOW)
    assert said.sha256 in shown
    assert f"subject={said.subject}" in shown
    assert said.subject == said.issuer
    assert said.authority and said.permitted == (DOMAIN, "localhost") and said.hosts == ()


def test_facts_of_a_chain_are_those_of_the_leaf() -> None:
    pki = make_pki()
    hosts = subject_names(DOMAIN)
    said = describe(make_leaf(pki.issuing, hosts, now=NOW).cert_pem, now=NOW + timedelta(days=10))
    assert said.hosts == hosts and not said.authority and said.permitted == () and said.subject == ""
    assert said.issuer == describe(pki.issuing.cert_pem, now=NOW).subject
    assert said.days_left == 79
    assert said.not_after - said.not_before == timedelta(days=90, hours=1)


def test_days_left_are_negative_after_the_end() -> None:
    assert describe(make_pki().root.cert_pem, now=NOW + timedelta(days=732)).days_left < 0


@pytest.mark.parametrize("damaged", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_non_certificate_is_an_error_with_a_fix(damaged: bytes) -> None:
    with pytest.raises(SandboxError, match="cannot be read") as caught:
        describe(damaged, now=NOW)
    assert caught.value.fix


PKI, OTHER = make_pki(), make_pki()


def told(days: int = 0) -> list[object]:
    """What the certificates of PKI say `days` later, and what belongs together."""
    root, issuing = PKI.root, PKI.issuing
    return [
        describe(root.cert_pem, now=NOW + timedelta(days=days)),
        permitted_domains(issuing.cert_pem),
        is_pair(root.key_pem, root.cert_pem),
        is_pair(root.key_pem, issuing.cert_pem),
        is_signed(issuing.cert_pem, root.cert_pem),
        is_signed(issuing.cert_pem, OTHER.root.cert_pem),
    ]


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which nothing can be parsed any more."""

    def refuse(_: bytes) -> None:
        raise AssertionError("parsed")

    return lambda: monkeypatch.setattr(pem, "load_certificates", refuse)


def test_glance_tells_later_what_an_earlier_one_found(tmp_path: Path, unparsed: Callable[[], None]) -> None:
    wanted, later = told(), told(days=100)
    file = tmp_path / "facts.json"
    with facts.glance(file), facts.glance(tmp_path / "inner.json"):
        assert told() == wanted
    unparsed()
    with facts.glance(file):
        assert told() == wanted
        assert told(days=100) == later
    with pytest.raises(AssertionError, match="parsed"):
        told()
    assert [one.name for one in tmp_path.iterdir()] == ["facts.json"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PKI.root.key_pem.decode().splitlines()[1] not in file.read_text()


def test_glance_forgets_what_is_not_asked_any_more(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    with facts.glance(file):
        told()
    with facts.glance(file):
        describe(OTHER.root.cert_pem, now=NOW)
    known = json.loads(file.read_bytes())
    assert [answer[0]["sha256"] for answer in known.values()] == [describe(OTHER.root.cert_pem, now=NOW).sha256]


def test_glance_that_asks_nothing_keeps_what_is_known(tmp_path: Path, unparsed: Callable[[], None]) -> None:
    wanted, file = told(), tmp_path / "facts.json"
    with facts.glance(file):
        told()
    with facts.glance(file):
        pass
    unparsed()
    with facts.glance(file):
        assert told() == wanted


@pytest.mark.parametrize(
    "damage", ["", "[]", "null", "3", '{"a": ', '{"chain x": [{"subject": 5}]}', '{"chain x": 3}', '{"pair x y": 1}']
)
def test_glance_finds_again_what_a_damaged_file_held(tmp_path: Path, damage: str) -> None:
    wanted, file = told(), tmp_path / "facts.json"
    file.write_text(damage)
    with facts.glance(file):
        assert told() == wanted
    assert len(json.loads(file.read_bytes())) == 6


def test_glance_works_where_nothing_can_be_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "missing" / "facts.json", tmp_path / "pipe", tmp_path):
        with facts.glance(place):
            assert told() == told()


def test_glance_remembers_no_damaged_certificate(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    with facts.glance(file), pytest.raises(SandboxError, match="cannot be read"):
        describe(b"text", now=NOW)
    assert not file.exists()
