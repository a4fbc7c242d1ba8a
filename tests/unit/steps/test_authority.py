"""The certificates of a sandbox as files: made once, kept, renewed when due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sandbox.certs.authority import LEAF_LIFE
from sandbox.certs.keystore import Keystore
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.steps.authority import AuthorityStep
from sandbox.steps.step import State
from tests.fakes import NoWork

DOMAIN = "demo.example.com"
LEAVES = {"default": (DOMAIN, f"*.{DOMAIN}"), "default.api": (f"api.{DOMAIN}",)}


@pytest.fixture
def step(names: Names) -> AuthorityStep:
    return AuthorityStep(names, Keystore(names.keys), DOMAIN, LEAVES, purge=False)


def test_it_makes_an_authority_and_every_leaf_once(names: Names, step: AuthorityStep) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, str(names.root_certificate))
    made = {path: path.read_bytes() for path in names.keys.rglob("*.crt")}
    assert {path.stem for path in made} == {"root", "issuing", "default", "default.api"}
    step.apply(NoWork())
    assert {path: path.read_bytes() for path in made} == made


def test_down_keeps_them_and_a_purge_does_not(names: Names, step: AuthorityStep) -> None:
    purging = replace(step, purge=True)
    assert not purging.undo()
    step.apply(NoWork())
    assert not step.undo()
    assert step.check().state is State.READY
    assert purging.undo()
    assert not names.keys.exists()
    assert not purging.undo()


def test_a_leaf_whose_hosts_changed_is_issued_anew_under_the_same_root(names: Names, step: AuthorityStep) -> None:
    step.apply(NoWork())
    root = names.root_certificate.read_bytes()
    wider = replace(step, leaves={**LEAVES, "default.api": (f"api.{DOMAIN}", f"v2.{DOMAIN}")})
    assert wider.check().state is State.DRIFTED
    assert wider.check().detail.startswith("default.api: hosts differ")
    wider.apply(NoWork())
    assert wider.check().state is State.READY
    assert names.root_certificate.read_bytes() == root


def test_a_leaf_that_is_missing_is_issued(names: Names, step: AuthorityStep) -> None:
    step.apply(NoWork())
    (names.keys / "leaves" / "default.crt").unlink()
    assert step.check().state is State.DRIFTED
    assert step.check().detail.startswith("default: ")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_leaf_that_is_about_to_end_is_renewed(step: AuthorityStep) -> None:
    long_ago = datetime.now(UTC) - LEAF_LIFE * 0.9
    step.keystore.authority([DOMAIN], now=long_ago)
    for leaf, hosts in LEAVES.items():
        step.keystore.leaf(leaf, hosts, now=long_ago)
    assert (step.check().state, step.check().detail[:15]) == (State.DRIFTED, "default: two th")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_root_that_is_gone_is_not_replaced_behind_the_user_s_back(names: Names, step: AuthorityStep) -> None:
    step.apply(NoWork())
    names.root_certificate.unlink()
    assert step.check().state is State.DRIFTED
    with pytest.raises(SandboxError, match="cannot be used") as caught:
        step.apply(NoWork())
    assert "sandbox certs renew" in caught.value.fix
    assert not names.root_certificate.exists()


def test_another_domain_needs_the_user_s_word(names: Names, step: AuthorityStep) -> None:
    step.apply(NoWork())
    moved = replace(step, domain="other.example.org", leaves={"default": ("other.example.org",)})
    assert moved.check().state is State.DRIFTED
    assert "not permitted" in moved.check().detail
    with pytest.raises(SandboxError):
        moved.apply(NoWork())
    assert step.check().state is State.READY
