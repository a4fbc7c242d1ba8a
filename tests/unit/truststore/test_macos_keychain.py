"""The exact command lines for macOS, and how the answers of security(1) are read; a script stands for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.truststore.macos_keychain import Keychain
from tests.support.trust_roots import FILE, ours, stranger

KEYCHAIN = "/Library/Keychains/System.keychain"
DELETE = ("security", "delete-certificate", "-Z", ours().sha1, KEYCHAIN)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are what `security COMMAND` prints; without one it fails, as the real one does."""
    program = tmp_path / "bin" / "security"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec cat "{tmp_path}/$1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_a_root_is_added_for_all_users() -> None:
    change = Keychain().add(ours(), FILE)
    wanted = ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, str(FILE))
    assert [(one.argv, one.as_root) for one in change.commands] == [(wanted, True)]


def test_a_trusted_root_loses_its_settings_and_goes(answers: Path) -> None:
    (answers / "find-certificate").write_bytes(stranger() + ours().pem)
    (answers / "dump-trust-settings").write_text(f"Number of trusted certs = 1\nCert 0: {ours().common_name}\n")
    assert Keychain().trusted() == Keychain().entries() == (ours(),)
    change = Keychain().remove(ours(), FILE)
    assert [one.argv for one in change.commands] == [("security", "remove-trusted-cert", "-d", str(FILE)), DELETE]
    assert f"find-certificate -a -p -c Sandbox root {KEYCHAIN}" in (answers / "asked").read_text().splitlines()


def test_a_root_without_settings_is_not_trusted_and_only_deleted(answers: Path) -> None:
    (answers / "find-certificate").write_bytes(ours().pem)
    assert (Keychain().trusted(), Keychain().entries()) == ((), (ours(),))
    assert [one.argv for one in Keychain().remove(ours(), FILE).commands] == [DELETE]


def test_an_empty_keychain_holds_nothing(answers: Path) -> None:
    assert (Keychain().trusted(), Keychain().entries()) == ((), ())
