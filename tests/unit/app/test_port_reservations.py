"""Claims on ports: seen by other commands, whatever their state folder, for as long as they are held."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from sandbox.app import port_reservations
from sandbox.app.port_reservations import Contended, hold, promised_to


def test_claim_with_another_state_folder_is_seen_while_held(tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    with hold(ann, "demo", [("sandbox-edge", 443), ("sandbox-edge+demo", 5432)]):
        user = pwd.getpwuid(os.getuid()).pw_name
        who = f"a sandbox of user {user}, with another state folder, which is starting (pid {os.getpid()})"
        assert promised_to(bob, 443) == who and promised_to(bob, 5432)
        assert not promised_to(bob, 444) and not promised_to(bob, 53)
        assert not promised_to(ann, 443), "which has claims of its own"
    assert not promised_to(bob, 443)


def test_claim_on_a_port_claimed_elsewhere_is_refused(tmp_path: Path) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    with hold(ann, "demo", [("registry", 5001)]), pytest.raises(Contended, match=f"pid {os.getpid()}"):
        hold(bob, "demo", [("edge", 443), ("registry", 5001)]).__enter__()
    assert port_reservations.claimant(bob, 443, "other") is None
    assert not promised_to(ann, 443), "what it had claimed before is free again"
    with hold(bob, "demo", [("registry", 5001)]):
        assert promised_to(ann, 5001)


def test_claim_is_shared_by_sandboxes_of_one_state_folder(tmp_path: Path) -> None:
    with hold(tmp_path, "one", [("edge", 443)]), hold(tmp_path, "two", [("edge", 443)]):
        assert port_reservations.claimant(tmp_path, 443, "relay") in ("one", "two")


def test_promise_is_seen_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_reservations, "ASKED", 1)
    with hold(tmp_path / "ann", "demo", [("registry", 5001)]):
        assert all("which is starting" in str(promised_to(tmp_path / "bob", 5001)) for _ in range(5))
