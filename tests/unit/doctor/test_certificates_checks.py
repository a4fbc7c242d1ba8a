"""Certificates on disk, judged and handshaken with in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import subject_names
from sandbox.doctor import sandbox_checks
from sandbox.doctor.check import DoctorContext, Status


def issue(context: DoctorContext) -> None:
    """What `up` leaves on disk."""
    keystore = Keystore(context.names.keys)
    keystore.authority([context.spec.domain], now=context.now)
    keystore.leaf("default", subject_names(context.spec.domain), now=context.now)


def later(context: DoctorContext, days: int) -> DoctorContext:
    return replace(context, now=context.now + timedelta(days=days))


def test_fresh_certificates_are_valid(context: DoctorContext) -> None:
    issue(context)
    finding = sandbox_checks.valid(context)
    assert finding.status is Status.OK and context.spec.domain in finding.evidence
    assert "default 89 days" in finding.evidence


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("days", "status", "evidence", "fix"),
    [
        (65, Status.WARN, "default: ", ""),
        (91, Status.ERROR, "default: ", ""),
        (400, Status.ERROR, "issuing CA: ", "sandbox certs renew{which} --authority"),
        (800, Status.ERROR, "root: ", "sandbox certs renew{which} --root, then sandbox certs trust{which}"),
        (-10, Status.ERROR, "root: ", "set this machine's clock; where it is right, "),
    ],
)
def test_certificate_near_its_end_is_reported(
    context: DoctorContext, days: int, status: Status, evidence: str, fix: str
) -> None:
    """Certificates near their end → a row of the doctor."""
    issue(context)
    finding = sandbox_checks.valid(later(context, days))
    assert finding.status is status and finding.evidence.startswith(evidence) and finding.fix.startswith(fix)


@pytest.mark.fault(30)
@pytest.mark.security(1)
def test_a_key_that_others_can_read_is_an_error(context: DoctorContext) -> None:
    """A key with mode 0644 → an error of the doctor."""
    issue(context)
    (context.names.keys / "issuing.key").chmod(0o644)
    found = sandbox_checks.valid(context)
    assert found.status is Status.ERROR and "0644" in found.evidence


@pytest.mark.fault(31)
def test_the_systems_store_is_asked(context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root is in no store → a warning of the doctor."""
    issue(context)
    found = sandbox_checks.trusted(context)
    assert found.status is Status.WARN and "unable to get local issuer certificate" in found.evidence
    monkeypatch.setenv("SSL_CERT_FILE", str(context.names.root_certificate))
    assert sandbox_checks.trusted(context).status is Status.OK
