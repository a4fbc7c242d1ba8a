"""`sandbox certs trust` and `untrust` as a user meets them, with the one store that needs no tool."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.running import trusted_stores
from sandbox.errors import SandboxError
from sandbox.system import files
from sandbox.truststore.trusted_root import in_pem
from tests.support.trust_roots import ours
from tests.unit.cli.test_main import Ended, run

Run = Callable[..., Ended]


@pytest.fixture
def certs(tmp_path: Path) -> Run:
    """Runs `sandbox certs ARGUMENTS` for a user without anything but a sandbox's root."""
    (tmp_path / "home").mkdir()

    def become() -> None:
        os.environ |= {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
        os.environ |= {"JAVA_HOME": str(tmp_path / "none")}
        os.environ.pop("SUDO_USER", None)
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)

    return lambda *arguments: run("certs", *arguments, cwd=tmp_path, before=become)


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    path = tmp_path / "state/sandbox/certificates/demo/root.crt"
    path.parent.mkdir(parents=True)
    path.write_bytes(ours().pem)
    return path


def test_without_certificates_there_is_nothing_to_trust(certs: Run, tmp_path: Path) -> None:
    ended = certs("trust", "-n", "demo")
    assert (ended.code, ended.stdout) == (2, "")
    assert "there is no sandbox 'demo'" in ended.stderr
    (tmp_path / "state/sandbox/sandboxes/demo").mkdir(parents=True)
    assert "sandbox up makes them" in certs("trust", "-n", "demo").stderr


def test_a_file_that_is_no_root_of_the_sandbox_is_refused(certs: Run, root_file: Path) -> None:
    root_file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    ended = certs("trust", "-n", "demo", "--store", "python", "--yes")
    assert ended.code == 1
    assert "is no sandbox's root" in ended.stderr


@pytest.mark.security(2)
@pytest.mark.usefixtures("root_file")
def test_all_changes_are_announced_first(certs: Run, tmp_path: Path) -> None:
    """`certs trust` without a terminal → it tells what it would change, and changes nothing."""
    shown = certs("trust", "-n", "demo", "--store", "python", "--dry-run")
    assert shown.code == 0
    assert ours().common_name in shown.stdout
    assert ours().sha256[:8].upper() in shown.stdout.replace(":", "")
    assert "permitted  demo0.sandbox.localhost, localhost with all names below" in shown.stdout
    assert f"(write {tmp_path}/state/sandbox/trust/bundle.pem)" in shown.stdout
    asked = certs("trust", "-n", "demo", "--store", "python")
    assert (asked.code, asked.stdout) == (2, "")
    assert "add --yes" in asked.stderr
    assert not list((tmp_path / "state/sandbox/trust").glob("[!.]*"))


@pytest.mark.usefixtures("root_file")
def test_in_and_out(certs: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "state/sandbox/trust/bundle.pem"
    done = certs("trust", "-n", "demo", "--store", "python", "--yes")
    assert done.code == 0
    assert f"export SSL_CERT_FILE={bundle}\n" in done.stdout
    assert in_pem(bundle.read_bytes()) == (ours(),)
    assert "nothing to change" in certs("trust", "-n", "demo", "--store", "python", "--yes").stderr
    unknown = certs("untrust", "-n", "other", "--yes")
    assert unknown.code == 2
    assert "no root certificate of a sandbox other is known" in unknown.stderr
    assert certs("untrust", "-n", "demo", "--yes").code == 0
    assert not list(bundle.parent.glob("[!.]*"))
    assert "no store holds" in certs("untrust", "-n", "demo", "--yes").stderr


def test_a_replaced_root_goes_when_the_new_one_is_trusted(certs: Run, root_file: Path, tmp_path: Path) -> None:
    certs("trust", "-n", "demo", "--store", "python", "--yes")
    root_file.write_bytes(ours(1).pem)
    certs("trust", "-n", "demo", "--store", "python", "--yes")
    folder = tmp_path / "state/sandbox/trust"
    assert in_pem((folder / "bundle.pem").read_bytes()) == (ours(1),)
    assert {path.name for path in folder.glob("sandbox-root-*")} == {f"{ours(1).label}.crt", f"{ours(1).label}.json"}


def test_failed_survey_leaves_the_stores_unlocked(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise SandboxError("a store cannot be read")

    monkeypatch.setattr(trusted_stores, "survey", fail)
    with pytest.raises(SandboxError) as caught, trusted_stores.TrustedStores.locked():
        pytest.fail("there is nothing to hold")
    with files.exclusive(context.home().trust, seconds=0):
        assert context.home().trust.is_relative_to(isolated_home)
    assert caught.value.brief == "a store cannot be read"  # which knows the frames, and all that they hold
