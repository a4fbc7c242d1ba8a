"""Hosts that serve an earlier certificate are named, and their workloads restarted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.tls_secrets import SecretsStep, TlsSecret
from sandbox.components.ingress import https_probe, served_certificates
from sandbox.components.ingress.served_certificates import ANNOTATION, ServedCertificates
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork
from tests.support.tls import TlsServer, make_pki

DOMAIN = "demo.localhost"
HOST = f"app.{DOMAIN}"
SECRET = TlsSecret(namespace="shop", secret="app-tls", leaf="shop.app-tls", hosts=(HOST,))
APPS = "/apis/apps/v1/namespaces/shop/deployments"
READY = {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}


def deployment(name: str, *, has: str = "app-tls") -> dict[str, Any]:
    volumes = [{"name": "tls", "secret": {"secretName": has}}]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [], "volumes": volumes}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": READY}


@pytest.fixture
def keystore(names: Names) -> Keystore:
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return keystore


@pytest.fixture
def secrets(names: Names, server: ApiServer, keystore: Keystore) -> SecretsStep:
    server.objects[f"{APPS}/app"] = deployment("app")
    server.objects[f"{APPS}/other"] = deployment("other", has="theirs")
    step = SecretsStep(names, keystore, (SECRET,))
    step.apply(NoWork())
    return step


@pytest.fixture
def app(secrets: SecretsStep, tmp_path: Path) -> Iterator[TlsServer]:
    with TlsServer(present(secrets), tmp_path) as server:
        yield server


@pytest.fixture
def certificates(
    names: Names, keystore: Keystore, app: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> ServedCertificates:
    monkeypatch.setattr(served_certificates, "TIMEOUT", 0.5)
    return ServedCertificates(
        cluster=Cluster(names.kubeconfig),
        keystore=keystore,
        secrets=(SECRET,),
        ask=lambda host, root: https_probe.ask(host, address="127.0.0.1", port=app.port, root=root),
        ways=1,
    )


def present(secrets: SecretsStep) -> KeyPair:
    return secrets.keystore.leaf_files(SECRET.leaf).read()


def renew(secrets: SecretsStep, *, root: bool = False) -> KeyPair:
    secrets.keystore.renew([DOMAIN], {SECRET.leaf: SECRET.hosts}, now=datetime.now(UTC), root=root)
    secrets.apply(NoWork())
    return present(secrets)


def mark(server: ApiServer, name: str = "app") -> str | None:
    template = server.objects[f"{APPS}/{name}"]["spec"]["template"]["metadata"]
    return (template.get("annotations") or {}).get(ANNOTATION)


@pytest.mark.parametrize("root", [False, True], ids=["a leaf", "the root"])
def test_an_application_that_keeps_the_old_one_is_restarted(
    certificates: ServedCertificates, secrets: SecretsStep, server: ApiServer, app: TlsServer, root: bool
) -> None:
    new, lines = renew(secrets, root=root), list[str]()
    (outdated,) = certificates.outdated(())
    assert str(outdated).startswith(f"{HOST} still serves the certificate ")
    assert "of shop/app-tls" in str(outdated)

    def restarted(line: str) -> None:
        lines.append(line)
        app.present(new)

    certificates.renew((), restarted)
    assert lines[0].startswith(f"restarting Deployment shop/app: {HOST} still serves")
    assert mark(server) and mark(server, "other") is None
    assert certificates.outdated(()) == []


def test_kinds_that_the_user_may_not_list_are_left_out(
    certificates: ServedCertificates, secrets: SecretsStep, app: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Cluster.list

    def forbidden(cluster: Cluster, api_version: str, kind: str, *place: Any, **more: Any) -> list[dict[str, Any]]:
        if kind == "StatefulSet":
            raise ClusterError("statefulsets.apps is forbidden", status=403)
        return read(cluster, api_version, kind, *place, **more)

    monkeypatch.setattr(Cluster, "list", forbidden)
    new = renew(secrets)
    certificates.renew((), lambda line: app.present(new))
    assert certificates.outdated(()) == []


def test_a_restart_that_does_not_help_is_an_error(
    certificates: ServedCertificates, secrets: SecretsStep, app: TlsServer
) -> None:
    renew(secrets)
    with pytest.raises(WaitTimeout) as caught:
        certificates.renew((), lambda line: None)
    assert f"{HOST} still serves" in caught.value.details


def test_an_old_root_that_nothing_is_restarted_for_is_an_error(
    certificates: ServedCertificates, secrets: SecretsStep, server: ApiServer
) -> None:
    del server.objects[f"{APPS}/app"]
    renew(secrets)
    assert certificates.outdated(()) == [], "a copy that clients still accept is the user's affair"
    renew(secrets, root=True)
    with pytest.raises(SandboxError) as caught:
        certificates.renew((), pytest.fail)
    assert (caught.value.id, caught.value.fix) == ("old-certificate", f"restart what serves {HOST}, then sandbox up")


def test_a_certificate_of_another_authority_is_the_user_s_affair(
    certificates: ServedCertificates, secrets: SecretsStep, app: TlsServer
) -> None:
    app.present(make_pki(DOMAIN).root)
    assert certificates.outdated((HOST,)) == []
