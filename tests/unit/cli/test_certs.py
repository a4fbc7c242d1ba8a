"""`sandbox certs` on a keystore of its own and a cluster's API in memory."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from sandbox.app import context, machine_plan
from sandbox.cli import output
from sandbox.cli.certs import certs as command
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import AuthorityStep, SecretsStep, TlsSecret
from sandbox.components.certificates.subject_names import subject_names
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.errors import SandboxError, UsageError
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import Step
from tests.support import in_process
from tests.support.api_server import ApiServer

DOMAIN = "demo.sandbox.localhost"
HOSTS = subject_names(DOMAIN)
SECRET = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DEFAULT_TLS}"


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def names() -> Names:
    """The names of the sandbox `demo`, whose certificates are ten days old."""
    names = context.home().sandbox("demo")
    keystore = Keystore(names.keys)
    then = datetime.now(UTC) - timedelta(days=10)
    keystore.authority([DOMAIN], now=then)
    keystore.leaf("default", HOSTS, now=then)
    return names


run = partial(in_process.run, command)


def stored(names: Names) -> dict[str, bytes]:
    return {str(path.relative_to(names.keys)): path.read_bytes() for path in sorted(names.keys.rglob("*.crt"))}


def test_show_has_every_certificate_with_its_facts(names: Names) -> None:
    result = run("show", "-n", "demo")
    lines = result.stdout.splitlines()
    heads = [line.partition("   79")[0] for line in lines if "79 days left" in line]
    assert heads == ["        default"] and lines[0].startswith("root   ")
    for name in ("root", "issuing", "leaves/default"):
        file = names.keys / f"{name}.crt"
        assert describe(file.read_bytes(), now=datetime.now(UTC)).sha256 in result.stdout
        assert str(file) in result.stdout
    assert f"hosts    {', '.join(HOSTS)}" in result.stdout
    assert f"permits  {DOMAIN}, localhost, 127.0.0.0/8, ::1/128" in result.stdout
    assert "cluster not reachable" in result.stderr
    assert result.return_value == 0
    (names.keys / "leaves" / "default.crt").write_bytes(b"nothing")
    broken = run("show", "-n", "demo")
    assert broken.return_value == 1 and "default   a certificate cannot be read" in broken.stdout


def test_show_names_the_secrets_that_hold_exactly_this_leaf(names: Names, server: ApiServer) -> None:
    keystore = Keystore(names.keys)
    keystore.renew([DOMAIN], {"default": HOSTS}, now=datetime.now(UTC) - timedelta(days=70), root=True)
    chain = (names.keys / "leaves" / "default.crt").read_bytes()
    other = keystore.leaf("other", [DOMAIN], now=datetime.now(UTC)).cert_pem
    for namespace, content in {"a": chain, "b": other, "c": b"nothing"}.items():
        data = {"tls.crt": base64.b64encode(content).decode()}
        # The collection of all namespaces is what is asked for.
        path = f"/api/v1/secrets/{namespace}"
        server.objects[path] = {"metadata": {"name": "tls", "namespace": namespace}, "data": data}
    found = json.loads(run("show", "-n", "demo", "-o", "json").stdout)
    assert found["cluster_reachable"] is True
    certificates = {one["name"]: one for one in found["certificates"]}
    secrets = {name: one["secrets"] for name, one in certificates.items()}
    assert secrets == {"root": [], "issuing": [], "default": ["a/tls"], "other": ["b/tls"]}
    assert certificates["default"]["state"] == "due"
    assert certificates["default"]["reason"].startswith("renewal due, 19 days left ")
    assert "Secrets  a/tls" in run("show", "-n", "demo").stdout


@pytest.fixture
def steps(names: Names, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps of the sandbox that have to do with certificates."""
    keystore = Keystore(names.keys)
    secret = TlsSecret(namespace=SYSTEM_NAMESPACE, secret=DEFAULT_TLS, leaf="default", hosts=HOSTS)
    steps: list[Step] = [
        AuthorityStep(names=names, keystore=keystore, domains=(DOMAIN,), leaves={"default": HOSTS}, purge=False),
        SecretsStep(names, keystore, (secret,)),
        HttpsStep(names=names, domain=DOMAIN, binds=(), secret=DEFAULT_TLS, requires=()),
    ]
    monkeypatch.setattr(machine_plan, "steps", lambda spec: (tuple(steps), None, None))
    return steps


@pytest.mark.parametrize(
    ("options", "stays"),
    [((), {"root.crt", "issuing.crt"}), (("--authority",), {"root.crt"}), (("--root", "--yes"), set())],
)
def test_renew_renews_what_was_named_and_waits_until_served(
    options: tuple[str, ...],
    stays: set[str],
    names: Names,
    server: ApiServer,
    steps: list[Step],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[str] = []
    monkeypatch.setattr(HttpsStep, "renew", lambda *_: served.append(server.objects[SECRET]["data"]["tls.crt"]))
    before = stored(names)
    result = run("renew", "-n", "demo", *options)
    after = stored(names)
    assert {name for name in before if before[name] == after[name]} == stays
    assert result.stdout == "renewed default\n"
    assert ("the root has changed; trust it" in result.stderr) is ("--root" in options)
    assert [base64.b64decode(chain) for chain in served] == [after["leaves/default.crt"]]


@pytest.mark.fault(66)
@pytest.mark.parametrize("option", ["--root", "--authority"])
def test_new_root_needs_consent_and_fails_without_a_terminal(
    option: str, names: Names, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`certs renew --authority` without a terminal → "add --yes", exit code 2, nothing renewed."""
    if option == "--authority":  # changes the root only when that cannot be used
        names.root_certificate.write_bytes(b"nothing")
    before = stored(names)
    with pytest.raises(UsageError, match="the root changes") as caught:
        run("renew", "-n", "demo", option)
    assert caught.value.fix == "add --yes"
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    with pytest.raises(SandboxError) as declined:
        run("renew", "-n", "demo", option, typed="n\n")
    assert declined.value.id == "declined"
    assert stored(names) == before
    run("renew", "-n", "demo", option, typed="y\n")
    assert stored(names)["root.crt"] != before["root.crt"]


def test_new_root_also_covers_domains_the_old_one_lacked(names: Names, steps: list[Step]) -> None:
    authority = steps[0]
    assert isinstance(authority, AuthorityStep)
    wanted = ("demo.192.168.1.5.nip.io",)
    steps[0] = replace(authority, unvouched=wanted)
    before = stored(names)
    assert "not reachable; `sandbox up` puts" in run("renew", "-n", "demo").stderr
    assert stored(names)["leaves/default.crt"] != before["leaves/default.crt"]
    assert authority.keystore.permitted(wanted) == ()
    run("renew", "-n", "demo", "--root", "--yes")
    assert authority.keystore.permitted(wanted) == wanted


def test_renew_leaves_cert_manager_s_work_to_it(names: Names, steps: list[Step]) -> None:
    authority = steps[0]
    assert isinstance(authority, AuthorityStep)
    steps[0] = replace(authority, leaves={})
    before = stored(names)
    assert "cert-manager" in run("renew", "-n", "demo").stderr
    assert stored(names) == before


@pytest.mark.parametrize("form", ["pem", "bundle", "p12"])
def test_export_writes_to_stdout_or_to_what_a_link_leads_to(form: str, names: Names, tmp_path: Path) -> None:
    """A device is written to and not replaced, also by a link such as /dev/stdout."""
    link = tmp_path / "link"
    link.symlink_to("target")
    assert run("export", "-n", "demo", "--format", form, "--out", link).stdout_bytes == b""
    exported = (tmp_path / "target").read_bytes()
    written = run("export", "-n", "demo", "--format", form, "--out", "-").stdout_bytes
    assert link.is_symlink() and b"PRIVATE KEY" not in written
    if form == "p12":  # encrypted with another salt each time
        assert len(written) == len(exported)
    else:
        assert written == exported and written.startswith(names.root_certificate.read_bytes())


def test_export_without_certificates_says_who_makes_them() -> None:
    with pytest.raises(SandboxError, match="there is no sandbox 'demo'") as caught:
        run("export", "-n", "demo", "--format", "pem", "--out", "-")
    assert "sandbox up" in caught.value.fix
    with pytest.raises(UsageError, match="there is no sandbox 'nope'"):
        run("trust", "-n", "nope")
