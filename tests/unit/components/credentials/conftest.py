"""What the tests of credentials share: the services, files with keys for them, a cluster, the search for canaries."""

from __future__ import annotations

import base64
import json
import os
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader, Loader

from sandbox.app import context
from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import LABEL, Names
from sandbox.system import daemon
from tests.support.api_server import POLICIES, ApiServer, kubeconfig
from tests.support.api_server import serving as serving_api
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes
from tests.support.token_services import CANARY, Services, serving

DIRECTORY = "login.example.test"
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the developer's own accounts."""
    for name in os.environ:
        if name.startswith(("GOOGLE_", "CLOUDSDK_", "AWS_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True, scope="session")
def models() -> Iterator[None]:
    """What botocore knows of AWS is read and listed once, not for every session, which takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file)))
        patch.setattr(Loader, "list_available_services", staticmethod(cache(Loader().list_available_services)))
        yield


@pytest.fixture(autouse=True)
def quiet(isolated_home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing secret in any log, output or our own file."""
    caplog.set_level("DEBUG")
    yield
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err):
        assert CANARY not in text
    for file in (isolated_home / "xdg_state_home").rglob("*"):
        assert file.is_dir() or CANARY not in file.read_text(), file


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """The doubles; where they speak TLS, they have a name that is not this machine's by its form."""
    authority = tmp_path / "authority.pem"
    found = socket.getaddrinfo

    def lookup(host: Any, *args: Any, **options: Any) -> Any:
        return found("127.0.0.1" if host == DIRECTORY else host, *args, **options)

    with serving(authority, DIRECTORY) as services:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
        monkeypatch.setenv("NO_PROXY", "*")
        yield services


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of JSON, or of text."""

    def write(content: Any, name: str = "key.json") -> Path:
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


@pytest.fixture
def names() -> Names:
    return context.home().sandbox("demo")


@pytest.fixture
def node(names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """The engine with the cluster's node; the process that renews logins ends with the test."""
    engine = FakeEngine(UPSTREAM["node"])
    engine.create_network(NETWORK, {LABEL: ""})
    Nodes(engine).add(names, names.node, role="control-plane")
    engine.programs["systemctl"] = Systemd()
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    yield engine
    daemon.end(names.credentials / "keeper.json")


class Systemd:
    """The node's systemd, which counts the restarts of the kubelet."""

    def __init__(self) -> None:
        self.restarts = 0
        self.broken = False

    def __call__(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        assert list(argv) == ["systemctl", "try-restart", "kubelet"]
        self.restarts += 1
        return (1, "Job failed") if self.broken else (0, "")


@pytest.fixture
def server(names: Names) -> Iterator[ApiServer]:
    """The sandbox's cluster, with namespaces that have their service account."""
    names.folder.mkdir(parents=True)
    with serving_api() as server:
        server.kinds["/apis/admissionregistration.k8s.io/v1"] = dict(POLICIES)
        for name in ("default", "shop", "kube-system"):
            make_namespace(server, name)
        kubeconfig(names.kubeconfig, server.server_address[1])
        yield server


@pytest.fixture
def pods(names: Names, node: FakeEngine, server: ApiServer) -> PodCredentials:
    return PodCredentials(node, lambda: (names.node,), names.kubeconfig, names.credentials, {})


def make_namespace(server: ApiServer, name: str) -> None:
    """A namespace as the cluster makes it, with its account."""
    server.objects[f"/api/v1/namespaces/{name}"] = {"metadata": {"name": name}}
    account = {"kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    server.objects[f"/api/v1/namespaces/{name}/serviceaccounts/default"] = account


def docker_config(password: str, host: str = "quay.io", user: str = "me") -> dict[str, Any]:
    """What `docker login` leaves."""
    return {"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}


def refusal(call: Callable[[], object]) -> SandboxError:
    """The error of `call`, which shows no secret: not in its words, nor in what a bug report would hold."""
    with pytest.raises(SandboxError) as caught:
        call()
    error = caught.value
    assert CANARY not in f"{error} {error.fix} {error!r}"
    assert CANARY not in "".join(traceback.format_exception(error))
    return error
