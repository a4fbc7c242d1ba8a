"""The certificates of a sandbox as files: made once, kept, renewed when due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import AuthorityStep
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.step import State
from tests.support.fakes import NoWork, applied

DOMAIN = "demo.example.com"
LEAVES = {"default": (DOMAIN, f"*.{DOMAIN}"), "default.api": (f"api.{DOMAIN}",)}


@pytest.fixture
def step(names: Names) -> AuthorityStep:
    return AuthorityStep(names=names, keystore=Keystore(names.keys), domains=(DOMAIN,), leaves=LEAVES, purge=False)


def test_step_creates_ca_and_every_leaf_once(names: Names, step: AuthorityStep) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "89 days left")
    made = {path: path.read_bytes() for path in names.keys.rglob("*.crt")}
    assert {path.stem for path in made} == {"root", "issuing", "default", "default.api"}
    step.apply(NoWork())
    assert {path: path.read_bytes() for path in made} == made
    root = names.root_certificate.read_bytes()
    wider = replace(step, leaves={**LEAVES, "default.api": (f"api.{DOMAIN}", f"v2.{DOMAIN}")})
    assert wider.check().state is State.DRIFTED
    assert wider.check().detail.startswith("default.api: hosts differ")
    assert applied(wider).state is State.READY
    assert names.root_certificate.read_bytes() == root


def test_down_keeps_them_and_a_purge_does_not(names: Names, step: AuthorityStep) -> None:
    purging = replace(step, purge=True)
    assert not purging.undo()
    step.apply(NoWork())
    assert not step.undo()
    assert step.check().state is State.READY
    assert purging.undo()
    assert not names.keys.exists()
    assert not purging.undo()


@pytest.mark.parametrize(
    ("days", "reason", "note"),
    [
        (250, "issuing authority: renewal due, 114 days", ""),
        (400, "issuing authority: expired on", ""),
        (500, "issuing authority: expired on", "; root: renewal due, 229 days left until "),
    ],
)
def test_an_issuing_authority_is_renewed_under_the_same_root(
    names: Names, step: AuthorityStep, days: int, reason: str, note: str
) -> None:
    then = datetime.now(UTC) - timedelta(days=days)
    step.keystore.authority([DOMAIN], now=then)
    for leaf, hosts in LEAVES.items():
        step.keystore.leaf(leaf, hosts, now=then)
    root = names.root_certificate.read_bytes()
    assert step.check().state is State.DRIFTED
    assert step.check().detail.startswith(reason)
    status = applied(step)
    assert status.state is State.READY
    assert status.detail.startswith(f"89 days left{note}")
    assert ("sandbox certs renew --root" in status.detail) is bool(note)
    assert names.root_certificate.read_bytes() == root


def test_changed_domain_needs_consent(names: Names, step: AuthorityStep) -> None:
    step.apply(NoWork())
    moved = replace(step, domains=("other.example.org",), leaves={"default": ("other.example.org",)})
    status = moved.check()
    assert (status.state, status.loses) == (State.STALE, "the root that clients were told to trust")
    assert "not permitted" in status.detail
    with pytest.raises(SandboxError):
        moved.apply(NoWork())
    assert step.check().state is State.READY
    moved.rebuild(NoWork())
    assert moved.check().state is State.READY


def test_domains_that_the_root_lacks_are_named(step: AuthorityStep) -> None:
    several = replace(step, domains=(DOMAIN, "shop.test"), leaves={**LEAVES, "edge": ("shop.test",)})
    assert applied(several).state is State.READY
    lacking = replace(several, unvouched=("demo.10.0.0.1.nip.io",)).check()
    note = "not for demo.10.0.0.1.nip.io: sandbox certs renew --root makes a root that is"
    assert (lacking.state, lacking.detail) == (State.READY, f"89 days left; {note}")


def test_a_name_in_reserve_needs_no_other_root_later(step: AuthorityStep) -> None:
    keystore, later = step.keystore, "demo.192.168.1.5.nip.io"
    closed = replace(step, domains=("demo.test",), leaves={}, reserve=lambda: (later,))
    closed.apply(NoWork())
    root = keystore.root.read().cert_pem
    assert keystore.permitted((later,)) == (later,)
    opened = replace(step, domains=("demo.test", later), leaves={"edge": (later,)})
    assert opened.check().state is State.DRIFTED
    assert applied(opened).state is State.READY
    assert keystore.root.read().cert_pem == root
    keystore.renew(("demo.test",), {}, now=datetime.now(UTC), root=True, reserve=(later,))
    assert keystore.permitted((later,)) == (later,)
