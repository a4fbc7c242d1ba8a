"""cert-manager's release put into a cluster, from a file with the digest that is expected of it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import yaml

from sandbox.components.certificates import cert_manager, pem
from sandbox.components.certificates.cert_manager import AUTHORITY, CertManagerStep, IssuerStep
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import SecretsStep, TlsSecret
from sandbox.errors import SandboxError
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers, signed
from tests.support.fakes import NoWork, applied

DEPLOYMENT = "/apis/apps/v1/namespaces/cert-manager/deployments/cert-manager-webhook"
DOMAIN = "demo.localhost"
OWN = TlsSecret(
    namespace=SYSTEM_NAMESPACE, secret=DEFAULT_TLS, leaf="default", hosts=(DOMAIN, f"*.{DOMAIN}", "127.0.0.1", "::1")
)
EXTRA = TlsSecret(namespace="shop", secret="api", leaf="shop.api", hosts=(f"api.{DOMAIN}",))
SECRET = "/api/v1/namespaces/cert-manager/secrets/" + AUTHORITY
EXTRA_SECRET = "/api/v1/namespaces/shop/secrets/api"
CERTIFICATE = f"/apis/cert-manager.io/v1/namespaces/{SYSTEM_NAMESPACE}/certificates/{DEFAULT_TLS}"
ISSUER = "/apis/cert-manager.io/v1/clusterissuers/sandbox"


def manifest(name: str, image: str) -> dict[str, object]:
    labels = {"app.kubernetes.io/version": cert_manager.VERSION}
    metadata = {"name": name, "namespace": cert_manager.NAMESPACE, "labels": labels}
    spec = {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.fixture
def installing(names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> CertManagerStep:
    server.objects = Controllers()
    file = names.home.manifests / f"cert-manager-{cert_manager.VERSION}.yaml"
    file.parent.mkdir(parents=True)
    tags = [image.partition("@")[0] for image in cert_manager.images().values()]
    file.write_text(yaml.safe_dump_all(map(manifest, cert_manager.DEPLOYMENTS, tags)))
    monkeypatch.setattr(cert_manager, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    here = {image: f"sandbox.dev/{number}:1" for number, image in enumerate(tags)}
    return CertManagerStep(names, names.home.manifests, here)


def test_cert_manager_is_ready_once_all_its_pods_are(server: ApiServer, installing: CertManagerStep) -> None:
    assert installing.check().state is State.ABSENT
    assert applied(installing).state is State.READY
    deployments = [live for live in server.objects.values() if live["kind"] == "Deployment"]
    images = [live["spec"]["template"]["spec"]["containers"][0]["image"] for live in deployments]
    assert sorted(images) == sorted(installing.images.values()), "by names of this machine"
    del server.objects[DEPLOYMENT]["status"]
    assert installing.check().state is State.DRIFTED
    server.objects[DEPLOYMENT]["metadata"]["labels"]["app.kubernetes.io/version"] = "v1.0.0"
    assert (installing.check().state, installing.check().detail) == (State.DRIFTED, "cert-manager-webhook is v1.0.0")
    assert applied(installing).state is State.READY
    assert not installing.undo()


def test_only_the_pinned_release_is_applied(server: ApiServer, installing: CertManagerStep) -> None:
    (installing.manifests / f"cert-manager-{cert_manager.VERSION}.yaml").write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file"):
        installing.apply(NoWork())
    assert server.objects == {}


def issue(server: ApiServer, certificate: dict[str, Any]) -> dict[str, str]:
    """What cert-manager puts in a Secret: a chain without the root, which is in `ca.crt`."""
    held = {name: base64.b64decode(value) for name, value in server.objects[SECRET]["data"].items()}
    chain = signed(KeyPair(held["tls.key"], held["tls.crt"]), certificate)
    root = pem.dump_certificate(pem.load_certificates(held["tls.crt"])[-1])
    return {"tls.crt": base64.b64encode(chain).decode(), "ca.crt": base64.b64encode(root).decode()}


@pytest.fixture
def issuer(names: Names, server: ApiServer) -> IssuerStep:
    kinds = {"Certificate": ("certificates", True), "ClusterIssuer": ("clusterissuers", False)}
    server.kinds["/apis/cert-manager.io/v1"] = kinds
    server.objects = Controllers(partial(issue, server))
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return IssuerStep(names, keystore, (OWN, EXTRA))


@pytest.mark.security(1)
def test_every_secret_is_issued_from_our_authority(server: ApiServer, issuer: IssuerStep) -> None:
    """Cert-manager issues certificates → the cluster never has the root's key."""
    assert issuer.check().state is State.ABSENT
    assert applied(issuer).state is State.READY
    chain = pem.load_certificates(base64.b64decode(server.objects[EXTRA_SECRET]["data"]["tls.crt"]))
    assert pem.hosts_of(chain[0]) == EXTRA.hosts
    root, issuing = issuer.keystore.root.read(), issuer.keystore.issuing.read()
    assert pem.is_signed_by(chain[0], pem.load_certificates(issuing.cert_pem)[0])
    data = server.objects[SECRET]["data"]
    assert base64.b64decode(data["tls.key"]) == issuing.key_pem
    assert base64.b64decode(data["tls.crt"]) == issuing.cert_pem + root.cert_pem
    assert base64.b64encode(root.key_pem).decode() not in str(server.objects)
    assert not issuer.undo()


def test_removed_or_changed_objects_are_put_right(server: ApiServer, issuer: IssuerStep) -> None:
    issuer.apply(NoWork())
    for path in (SECRET, ISSUER, CERTIFICATE):
        server.objects.pop(path)
        assert issuer.check().state is State.ABSENT
        assert applied(issuer).state is State.READY
    server.objects[CERTIFICATE]["spec"]["dnsNames"] = ["x.test"]
    assert (issuer.check().state, "differs" in issuer.check().detail) == (State.DRIFTED, True)
    issuer.apply(NoWork())
    assert server.objects[CERTIFICATE]["spec"]["dnsNames"] == [DOMAIN, f"*.{DOMAIN}"]


def test_changed_root_reissues_every_certificate(server: ApiServer, issuer: IssuerStep) -> None:
    issuer.apply(NoWork())
    before = server.objects[EXTRA_SECRET]["data"]
    issuer.keystore.renew([DOMAIN], {}, now=datetime.now(UTC), authority=True, root=True)
    assert issuer.check().state is State.DRIFTED
    assert applied(issuer).state is State.READY
    after = server.objects[EXTRA_SECRET]["data"]
    assert after["ca.crt"] != before["ca.crt"]
    assert base64.b64decode(after["ca.crt"]) == issuer.keystore.root.read().cert_pem


def test_certificate_that_left_the_spec_is_removed(server: ApiServer, issuer: IssuerStep) -> None:
    issuer.apply(NoWork())
    fewer = replace(issuer, secrets=(OWN,))
    assert (fewer.check().state, fewer.check().detail) == (State.DRIFTED, "Certificate shop/api of an earlier spec")
    fewer.apply(NoWork())
    assert EXTRA_SECRET not in server.objects
    assert fewer.check().state is State.READY


@pytest.mark.security(1)
def test_authority_leaves_a_cluster_that_needs_it_no_more(server: ApiServer, issuer: IssuerStep) -> None:
    """The sandbox issues certificates again → the cluster no longer has the issuing authority's key."""
    issuer.apply(NoWork())
    own = SecretsStep(issuer.names, issuer.keystore, issuer.secrets)
    assert applied(own).state is State.READY
    assert SECRET not in server.objects


def test_why_a_certificate_is_not_ready_is_said(
    server: ApiServer, issuer: IssuerStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.apply(NoWork())
    said = {"type": "Ready", "status": "False", "message": "the issuer has no key"}
    server.objects[CERTIFICATE]["status"] = {"conditions": [said]}
    assert "the issuer has no key" in issuer.check().detail
    server.objects[CERTIFICATE]["spec"]["dnsNames"] = ["x.test"]
    monkeypatch.setattr(cert_manager, "ISSUE_TIMEOUT", 0.1)
    assert isinstance(server.objects, Controllers)
    server.objects.idle = True
    with pytest.raises(WaitTimeout) as caught:
        issuer.apply(NoWork())
    assert "not yet seen by cert-manager" in caught.value.details
