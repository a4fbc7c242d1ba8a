"""TLS Secrets by cert-manager, whose part is played by objects that act as it does."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from sandbox.components.certificates import issuer_step, pem
from sandbox.components.certificates.authority import KeyPair
from sandbox.components.certificates.cert_manager import AUTHORITY
from sandbox.components.certificates.issuer_step import IssuerStep
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.secrets_step import TlsSecret
from sandbox.kube.api import ClusterError
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers, signed
from tests.support.fakes import NoWork

DOMAIN = "demo.localhost"
OWN = TlsSecret(SYSTEM_NAMESPACE, DEFAULT_TLS, "default", (DOMAIN, f"*.{DOMAIN}", "127.0.0.1", "::1"))
EXTRA = TlsSecret("shop", "api", "shop.api", (f"api.{DOMAIN}",))
SECRET = "/api/v1/namespaces/cert-manager/secrets/" + AUTHORITY
EXTRA_SECRET = "/api/v1/namespaces/shop/secrets/api"
CERTIFICATE = f"/apis/cert-manager.io/v1/namespaces/{SYSTEM_NAMESPACE}/certificates/{DEFAULT_TLS}"
ISSUER = "/apis/cert-manager.io/v1/clusterissuers/sandbox"


def issue(server: ApiServer, certificate: dict[str, Any]) -> dict[str, str]:
    """What cert-manager puts in a Secret: a chain without the root, which is in `ca.crt`."""
    held = {name: base64.b64decode(value) for name, value in server.objects[SECRET]["data"].items()}
    chain = signed(KeyPair(held["tls.key"], held["tls.crt"]), certificate)
    root = pem.dump_certificate(pem.load_certificates(held["tls.crt"])[-1])
    return {"tls.crt": base64.b64encode(chain).decode(), "ca.crt": base64.b64encode(root).decode()}


@pytest.fixture
def step(names: Names, server: ApiServer) -> IssuerStep:
    server.kinds["/apis/cert-manager.io/v1"] = {
        "Certificate": ("certificates", True),
        "ClusterIssuer": ("clusterissuers", False),
    }
    server.objects = Controllers(partial(issue, server))
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return IssuerStep(names, keystore, (OWN, EXTRA))


def test_every_secret_is_issued_from_our_authority(server: ApiServer, step: IssuerStep) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    chain = pem.load_certificates(base64.b64decode(server.objects[EXTRA_SECRET]["data"]["tls.crt"]))
    assert pem.hosts_of(chain[0]) == EXTRA.hosts
    assert pem.is_signed_by(chain[0], pem.load_certificates(step.keystore.issuing.read().cert_pem)[0])
    assert not step.undo()


def test_certificates_are_as_ours_would_be(server: ApiServer, step: IssuerStep) -> None:
    step.apply(NoWork())
    spec = server.objects[CERTIFICATE]["spec"]
    assert (spec["dnsNames"], spec["ipAddresses"]) == ([DOMAIN, f"*.{DOMAIN}"], ["127.0.0.1", "::1"])
    assert (spec["duration"], spec["renewBefore"]) == ("2160h0m0s", "720h0m0s")
    assert (spec["privateKey"]["algorithm"], spec["privateKey"]["size"]) == ("ECDSA", 256)
    assert spec["usages"] == ["digital signature", "server auth"]


@pytest.mark.security(1)
def test_the_root_s_key_stays_at_home(server: ApiServer, step: IssuerStep) -> None:
    """Cert-manager issues certificates → the cluster never has the root's key."""
    step.apply(NoWork())
    root, issuing = step.keystore.root.read(), step.keystore.issuing.read()
    held = server.objects[SECRET]["data"]
    assert base64.b64decode(held["tls.key"]) == issuing.key_pem
    assert base64.b64decode(held["tls.crt"]) == issuing.cert_pem + root.cert_pem
    assert base64.b64encode(root.key_pem).decode() not in str(server.objects)


def test_another_root_makes_every_certificate_new(server: ApiServer, step: IssuerStep) -> None:
    step.apply(NoWork())
    before = server.objects[EXTRA_SECRET]["data"]
    step.keystore.renew([DOMAIN], {}, now=datetime.now(UTC), authority=True, root=True)
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().state is State.READY
    after = server.objects[EXTRA_SECRET]["data"]
    assert after["ca.crt"] != before["ca.crt"]
    assert base64.b64decode(after["ca.crt"]) == step.keystore.root.read().cert_pem


@pytest.mark.parametrize("path", [SECRET, ISSUER, CERTIFICATE])
def test_what_is_gone_is_put_back(server: ApiServer, step: IssuerStep, path: str) -> None:
    step.apply(NoWork())
    server.objects.pop(path)
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_certificate_changed_by_hand_is_put_right(server: ApiServer, step: IssuerStep) -> None:
    step.apply(NoWork())
    server.objects[CERTIFICATE]["spec"]["dnsNames"] = ["x.test"]
    assert (step.check().state, "is another" in step.check().detail) == (State.DRIFTED, True)
    step.apply(NoWork())
    assert server.objects[CERTIFICATE]["spec"]["dnsNames"] == [DOMAIN, f"*.{DOMAIN}"]


def test_defaults_of_the_api_server_are_no_difference(server: ApiServer, step: IssuerStep) -> None:
    step.apply(NoWork())
    server.objects[CERTIFICATE]["spec"]["revisionHistoryLimit"] = 1
    assert step.check().state is State.READY


def test_why_a_certificate_is_not_ready_is_said(
    server: ApiServer, step: IssuerStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    step.apply(NoWork())
    said = {"type": "Ready", "status": "False", "message": "the issuer has no key"}
    server.objects[CERTIFICATE]["status"] = {"conditions": [said]}
    assert "the issuer has no key" in step.check().detail
    server.objects[CERTIFICATE]["spec"]["dnsNames"] = ["x.test"]
    monkeypatch.setattr(issuer_step, "TIMEOUT", 0.1)
    assert isinstance(server.objects, Controllers)
    server.objects.idle = True
    with pytest.raises(WaitTimeout) as caught:
        step.apply(NoWork())
    assert "not yet seen by cert-manager" in caught.value.details


def test_only_a_webhook_that_does_not_answer_yet_is_waited_for(
    server: ApiServer, step: IssuerStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_step, "TIMEOUT", 0.1)
    early = b'{"message": "failed calling webhook \\"webhook.cert-manager.io\\": no endpoints available"}'
    server.objects["/api/v1/namespaces/x/secrets/x"] = {"kind": "Secret"}
    server.refusal = (500, early)
    with pytest.raises(ClusterError):  # the namespaces, which no webhook of cert-manager's looks at
        step.apply(NoWork())
    bare = IssuerStep(step.names, step.keystore, ())
    with pytest.raises(WaitTimeout, match="not ready"):
        bare.apply(NoWork())
    server.refusal = (403, b'{"message": "forbidden"}')
    with pytest.raises(ClusterError) as caught:
        bare.apply(NoWork())
    assert not isinstance(caught.value, WaitTimeout)
