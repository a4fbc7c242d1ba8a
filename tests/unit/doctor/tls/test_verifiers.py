"""What real clients say, and what is made of programs that say something else."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.doctor.check import Status
from sandbox.doctor.tls import verifiers
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.doctor.tls.verifiers import CannotAsk, Target
from tests.support.programs import make_program
from tests.support.tls import make_pki
from tests.unit.doctor.tls.conftest import DOMAIN, HOST, Serve, asking

REAL = ["openssl", "python", "curl"]


def look(name: str, trace: RequestTrace) -> tuple[Status, str]:
    found = verifiers.inspect(verifiers.CLIENTS[name], "trust it", trace)
    return found.status, found.evidence


@pytest.mark.parametrize("name", REAL)
def test_with_the_root_each_accepts_and_by_itself_refuses(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str
) -> None:
    with serve(default):
        status, evidence = look(name, trace)
    assert status is Status.WARN and "unable to get local issuer certificate" in evidence


@pytest.mark.parametrize("name", REAL)
def test_a_root_that_is_trusted_already(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trace.names.root_certificate))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(trace.names.root_certificate))
    with serve(default):
        assert look(name, trace)[0] is Status.OK


@pytest.mark.parametrize("name", REAL)
def test_certificate_of_another_host_is_refused(trace: RequestTrace, serve: Serve, default: KeyPair, name: str) -> None:
    with serve(default):
        status, evidence = look(name, asking(trace, f"a.b.{DOMAIN}"))
    assert status is Status.ERROR and "refuses even with the sandbox's root" in evidence


@pytest.mark.parametrize("name", REAL)
def test_unknown_certificate_is_checked_only_against_trusted(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str
) -> None:
    with serve(make_leaf(make_pki(DOMAIN).issuing, (HOST,), now=trace.context.now)):
        status, evidence = look(name, trace)
    assert status is Status.WARN and evidence.startswith("refuses: ")


def program(folder: Path, script: str) -> verifiers.Ask:
    """A client in another language whose interpreter is a script of the test's."""
    interpreter = make_program(folder / "other", script)
    return partial(verifiers.program, (str(interpreter),), "probe.cjs")


def test_a_program_of_another_language(tmp_path: Path) -> None:
    target = Target("127.0.0.1", 443, HOST)
    assert program(tmp_path, "exit 0")(target, None) is None
    assert program(tmp_path, 'echo no; echo "$3 $4 refused"; exit 1')(target, Path("/r")) == "443 " + HOST + " refused"
    for script in ("echo error: no module named jdk.compiler; exit 1", "echo broken; exit 2", "exit 1"):
        with pytest.raises(CannotAsk):
            program(tmp_path, script)(target, None)


def test_missing_verifier_is_skipped(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    with serve(default):
        found = verifiers.inspect(partial(verifiers.program, ("no-such-program",), "probe.go"), "trust it", trace)
    assert (found.status, found.evidence) == (Status.SKIPPED, "not installed")


@pytest.mark.parametrize(
    ("steps", "said"),
    [("echo /compile a; echo /compile b", "not compiled its TLS library yet"), ("echo no >&2; exit 1", "not work: no")],
)
def test_go_without_a_compiled_tls_library_is_not_asked(tmp_path: Path, steps: str, said: str) -> None:
    make_program(tmp_path / "go", f'[ "$1" = run ] && exit 3\n{steps}')
    with pytest.raises(CannotAsk, match=said):
        verifiers.go((str(tmp_path / "go"),), Target("127.0.0.1", 443, HOST), None)


def test_go_is_asked_without_the_folders_go_mod(tmp_path: Path) -> None:
    make_program(tmp_path / "go", '[ "$1" = build ] || { echo "$GO111MODULE $GOTOOLCHAIN $6"; exit 1; }')
    refusal = verifiers.go((str(tmp_path / "go"),), Target("127.0.0.1", 443, HOST), Path("/root.crt"))
    assert refusal == "off local /root.crt"


@pytest.mark.parametrize("file", ["probe.cjs", "Probe.java", "probe.go"])
def test_every_program_comes_with_the_package(file: str) -> None:
    assert (Path(verifiers.__file__).parent / "clients" / file).is_file()
