"""The TLS Secrets in a cluster, by what its API server holds."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates import steps
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair, describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import ProvidedStep, SecretsStep, TlsSecret
from sandbox.components.certificates.user_certificate import Provided
from sandbox.kube.api import Cluster
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork, applied
from tests.support.tls import DOMAIN, NOW, make_pki

SANDBOX_DOMAIN = "demo.localhost"
HOSTS = (SANDBOX_DOMAIN, f"*.{SANDBOX_DOMAIN}")
OWN = TlsSecret(namespace=SYSTEM_NAMESPACE, secret=DEFAULT_TLS, leaf="default", hosts=HOSTS)
EXTRA = TlsSecret(namespace="shop", secret="api", leaf="shop.api", hosts=(f"api.{SANDBOX_DOMAIN}",))
OWN_PATH = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DEFAULT_TLS}"
EXTRA_PATH = "/api/v1/namespaces/shop/secrets/api"


@pytest.fixture
def step(names: Names, server: ApiServer) -> SecretsStep:
    keystore = Keystore(names.keys)
    keystore.authority([SANDBOX_DOMAIN], now=datetime.now(UTC))
    return SecretsStep(names, keystore, (OWN, EXTRA))


def content(secret: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


def test_each_is_put_in_its_namespace_with_a_key_that_fits(
    server: ApiServer, step: SecretsStep, tmp_path: Path
) -> None:
    assert step.check().state is State.ABSENT
    assert applied(step) == Status(State.READY, f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS}, shop/api")
    namespaces = {f"/api/v1/namespaces/{name}" for name in (SYSTEM_NAMESPACE, "shop")}
    assert server.objects.keys() == {*namespaces, OWN_PATH, EXTRA_PATH}
    for path in (OWN_PATH, EXTRA_PATH):
        secret = server.objects[path]
        assert secret["type"] == "kubernetes.io/tls"
        for key in ("tls.crt", "tls.key"):
            (tmp_path / key).write_bytes(content(secret, key))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_removed_or_replaced_secret_is_restored(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    before = server.objects.pop(EXTRA_PATH)
    assert (step.check().state, step.check().detail) == (State.ABSENT, "shop/api")
    step.apply(NoWork())
    assert server.objects[EXTRA_PATH] == before
    for data in ({}, {"tls.crt": "bm90aGluZw=="}, {"tls.crt": "%"}):
        server.objects[EXTRA_PATH]["data"] = data
        assert step.check().state is State.DRIFTED
    assert applied(step).state is State.READY


def test_a_renewed_certificate_reaches_the_cluster(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    old = step.keystore.leaf(EXTRA.leaf, EXTRA.hosts, now=datetime.now(UTC))
    step.keystore.renew([SANDBOX_DOMAIN], {EXTRA.leaf: EXTRA.hosts}, now=datetime.now(UTC))
    renewed = step.keystore.leaf(EXTRA.leaf, EXTRA.hosts, now=datetime.now(UTC))
    held, wanted = (describe(leaf.cert_pem, now=datetime.now(UTC)) for leaf in (old, renewed))
    assert held.sha256 != wanted.sha256
    assert step.check() == Status(State.DRIFTED, f"shop/api does not hold {wanted}")
    assert applied(step).state is State.READY
    assert content(server.objects[EXTRA_PATH], "tls.crt") == renewed.cert_pem


def test_secret_the_spec_no_longer_names_is_removed(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "shop"}}
    server.objects["/api/v1/namespaces/shop/secrets/theirs"] = theirs
    fewer = replace(step, secrets=(OWN,))
    assert fewer.check() == Status(State.DRIFTED, "shop/api of an earlier spec")
    assert applied(fewer).state is State.READY
    assert EXTRA_PATH not in server.objects and OWN_PATH in server.objects
    assert server.objects["/api/v1/namespaces/shop/secrets/theirs"] == theirs


def test_secret_of_cert_manager_is_adopted(names: Names, server: ApiServer) -> None:
    server.kinds["/apis/cert-manager.io/v1"] = {"Certificate": ("certificates", True)}
    server.objects["/apis/cert-manager.io/v1/namespaces/shop/certificates/api"] = {"kind": "Certificate"}
    server.objects[EXTRA_PATH] = {"kind": "Secret", "data": {"tls.crt": "", "tls.key": "", "ca.crt": ""}}
    secret = steps.tls_secret("shop", "api", KeyPair(b"key", b"chain"))
    steps.apply_tls_secret(Cluster(names.kubeconfig), secret)
    assert server.objects == {EXTRA_PATH: secret}
    assert ("DELETE", EXTRA_PATH) in [(method, path) for method, path, *_ in server.asked]


def test_certificate_of_the_user_is_the_default_one_and_replaced_with_its_file(
    names: Names, server: ApiServer, tmp_path: Path
) -> None:
    pki, provided = make_pki(), Provided(tmp_path / "own.pem", tmp_path / "own.key")
    step = ProvidedStep(names, provided)
    for before in (State.ABSENT, State.DRIFTED):
        leaf = make_leaf(pki.issuing, (DOMAIN, f"*.{DOMAIN}"), now=NOW)
        provided.cert.write_bytes(leaf.cert_pem + pki.root.cert_pem)
        provided.key.write_bytes(leaf.key_pem)
        assert step.check().state is before
        assert applied(step).state is State.READY
        assert server.objects[OWN_PATH]["type"] == "kubernetes.io/tls"
        assert content(server.objects[OWN_PATH], "tls.crt") == leaf.cert_pem, "without the root"
    assert not step.undo()
