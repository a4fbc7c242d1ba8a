"""The user's own certificate on its way into the cluster."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.certificates.user_certificate_step import ProvidedStep
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork
from tests.support.tls import DOMAIN, NOW, Pki, make_pki

PATH = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DEFAULT_TLS}"


@pytest.fixture
def pki() -> Pki:
    return make_pki()


@pytest.fixture
def step(names: Names, server: ApiServer, tmp_path: Path, pki: Pki) -> ProvidedStep:
    provided = Provided(tmp_path / "own.pem", tmp_path / "own.key")
    write(provided, pki)
    return ProvidedStep(names, provided)


def write(provided: Provided, pki: Pki) -> bytes:
    """A certificate as an authority hands them out, its root included; returns what is to be served."""
    leaf = make_leaf(pki.issuing, (DOMAIN, f"*.{DOMAIN}"), now=NOW)
    provided.cert.write_bytes(leaf.chain_pem + pki.root.cert_pem)
    provided.key.touch(mode=0o600)
    provided.key.write_bytes(leaf.key_pem)
    return leaf.chain_pem


def test_it_is_the_default_certificate(server: ApiServer, step: ProvidedStep, pki: Pki) -> None:
    served = write(step.provided, pki)
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert server.objects[PATH]["type"] == "kubernetes.io/tls"
    assert base64.b64decode(server.objects[PATH]["data"]["tls.crt"]) == served
    assert "chmod" not in step.check().detail
    assert not step.undo()


def test_a_renewed_file_reaches_the_cluster(server: ApiServer, step: ProvidedStep, pki: Pki) -> None:
    step.apply(NoWork())
    served = write(step.provided, pki)
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert base64.b64decode(server.objects[PATH]["data"]["tls.crt"]) == served


def test_a_key_that_others_can_read_is_hinted_at(step: ProvidedStep) -> None:
    step.apply(NoWork())
    step.provided.key.chmod(0o644)
    assert (step.check().state, f"chmod 600 {step.provided.key}" in step.check().detail) == (State.READY, True)
