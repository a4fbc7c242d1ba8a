"""`sandbox certs trust` and `untrust` as a user meets them, with a JDK whose keytool plays its part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.running import certificates
from sandbox.errors import SandboxError
from sandbox.system import files
from sandbox.truststore.trusted_root import in_binary
from tests.support.programs import make_program
from tests.support.trust_roots import ours
from tests.unit.cli.test_main import Ended, run

Run = Callable[..., Ended]
# Puts the certificates of the arguments into the file, by their alias, or empties it.
KEYTOOL = """
action=$1
while [ $# -gt 0 ]; do
  case $1 in -keystore) store=$2 ;; -alias) alias=$2 ;; -file) file=$2 ;; esac
  shift
done
: > "$store"
[ "$action" = -delete ] || { printf %s "$alias" > "$store"; grep -v -e ----- "$file" | base64 -d >> "$store"; }
"""


@pytest.fixture
def certs(tmp_path: Path) -> Run:
    """Runs `sandbox certs ARGUMENTS` for a user without anything but a sandbox's root and a JDK."""
    (tmp_path / "home").mkdir()
    (tmp_path / "jdk/lib/security").mkdir(parents=True)
    (tmp_path / "jdk/lib/security/cacerts").touch()
    make_program(tmp_path / "jdk/bin/keytool", KEYTOOL)

    def become() -> None:
        os.environ |= {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
        os.environ |= {"JAVA_HOME": str(tmp_path / "jdk")}
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
    ended = certs("trust", "-n", "demo", "--store", "java", "--yes")
    assert ended.code == 1
    assert "is no sandbox's root" in ended.stderr


@pytest.mark.security(2)
@pytest.mark.usefixtures("root_file")
def test_all_changes_are_announced_first(certs: Run, tmp_path: Path) -> None:
    """`certs trust` without a terminal → it tells what it would change, and changes nothing."""
    shown = certs("trust", "-n", "demo", "--store", "java", "--dry-run")
    assert shown.code == 0
    assert ours().common_name in shown.stdout
    assert ours().sha256[:8].upper() in shown.stdout.replace(":", "")
    assert "permitted  demo0.sandbox.localhost, localhost with all names below" in shown.stdout
    assert f"$ {tmp_path}/jdk/bin/keytool -importcert -noprompt" in shown.stdout
    asked = certs("trust", "-n", "demo", "--store", "java")
    assert (asked.code, asked.stdout) == (2, "")
    assert "add --yes" in asked.stderr
    assert not list((tmp_path / "state/sandbox/trust").glob("[!.]*"))


@pytest.mark.usefixtures("root_file")
def test_in_and_out(certs: Run, tmp_path: Path) -> None:
    cacerts = tmp_path / "jdk/lib/security/cacerts"
    done = certs("trust", "-n", "demo", "--store", "java", "--yes")
    assert done.code == 0
    assert in_binary(cacerts.read_bytes()) == (ours(),)
    assert "nothing to change" in certs("trust", "-n", "demo", "--store", "java", "--yes").stderr
    unknown = certs("untrust", "-n", "other", "--yes")
    assert unknown.code == 2
    assert "no root certificate of a sandbox other is known" in unknown.stderr
    assert certs("untrust", "-n", "demo", "--yes").code == 0
    assert cacerts.read_bytes() == b"" and not list((tmp_path / "state/sandbox/trust").glob("[!.]*"))
    assert "no store holds" in certs("untrust", "-n", "demo", "--yes").stderr


def test_failed_survey_leaves_the_stores_unlocked(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise SandboxError("a store cannot be read")

    monkeypatch.setattr(certificates, "survey", fail)
    with pytest.raises(SandboxError) as caught, certificates.TrustedStores.locked():
        pytest.fail("there is nothing to hold")
    with files.exclusive(context.home().trust, seconds=0):
        assert context.home().trust.is_relative_to(isolated_home)
    assert caught.value.brief == "a store cannot be read"  # which knows the frames, and all that they hold
