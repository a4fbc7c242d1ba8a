"""The TLS Secrets in a cluster, by what its API server holds."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.describe import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.secrets_step import SecretsStep, TlsSecret
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

DOMAIN = "demo.localhost"
OWN = TlsSecret(SYSTEM_NAMESPACE, DEFAULT_TLS, "default", (DOMAIN, f"*.{DOMAIN}"))
EXTRA = TlsSecret("shop", "api", "shop.api", (f"api.{DOMAIN}",))
OWN_PATH = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DEFAULT_TLS}"
EXTRA_PATH = "/api/v1/namespaces/shop/secrets/api"


@pytest.fixture
def step(names: Names, server: ApiServer) -> SecretsStep:
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return SecretsStep(names, keystore, (OWN, EXTRA))


def content(secret: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


def test_each_is_put_in_its_namespace_with_a_key_that_fits(
    server: ApiServer, step: SecretsStep, tmp_path: Path
) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (
        State.READY,
        f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS}, shop/api",
    )
    namespaces = {f"/api/v1/namespaces/{name}" for name in (SYSTEM_NAMESPACE, "shop")}
    assert server.objects.keys() == {*namespaces, OWN_PATH, EXTRA_PATH}
    for path in (OWN_PATH, EXTRA_PATH):
        secret = server.objects[path]
        assert secret["type"] == "kubernetes.io/tls"
        for key in ("tls.crt", "tls.key"):
            (tmp_path / key).write_bytes(content(secret, key))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_it_goes_with_the_cluster(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    assert not step.undo()
    assert step.check().state is State.READY


def test_one_that_is_gone_is_made_again(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    before = server.objects.pop(EXTRA_PATH)
    assert (step.check().state, step.check().detail) == (State.ABSENT, "shop/api")
    step.apply(NoWork())
    assert server.objects[EXTRA_PATH] == before


def test_a_renewed_certificate_reaches_the_cluster(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    old = step.keystore.leaf(EXTRA.leaf, EXTRA.hosts, now=datetime.now(UTC))
    step.keystore.renew([DOMAIN], {EXTRA.leaf: EXTRA.hosts}, now=datetime.now(UTC))
    renewed = step.keystore.leaf(EXTRA.leaf, EXTRA.hosts, now=datetime.now(UTC))
    held, wanted = (describe(leaf.chain_pem, now=datetime.now(UTC)) for leaf in (old, renewed))
    assert held.sha256 != wanted.sha256
    assert step.check() == Status(State.DRIFTED, f"shop/api holds {held}, not {wanted}")
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert content(server.objects[EXTRA_PATH], "tls.crt") == renewed.chain_pem


def test_a_secret_that_somebody_else_wrote_is_replaced(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    for data in ({}, {"tls.crt": "bm90aGluZw=="}, {"tls.crt": "%"}):
        server.objects[EXTRA_PATH]["data"] = data
        assert step.check().state is State.DRIFTED
        assert step.check().detail.startswith("shop/api holds no certificate, not ")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_one_that_the_spec_names_no_more_goes(server: ApiServer, step: SecretsStep) -> None:
    step.apply(NoWork())
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "shop"}}
    server.objects["/api/v1/namespaces/shop/secrets/theirs"] = theirs
    fewer = replace(step, secrets=(OWN,))
    assert fewer.check() == Status(State.DRIFTED, "shop/api of an earlier spec")
    fewer.apply(NoWork())
    assert fewer.check().state is State.READY
    assert EXTRA_PATH not in server.objects and OWN_PATH in server.objects
    assert server.objects["/api/v1/namespaces/shop/secrets/theirs"] == theirs
