"""Registries behind the ingress made known to a node in memory."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from sandbox.components.certificates.cluster_trust import ROOT
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.registry.node_config_step import TlsRegistryStep
from sandbox.errors import SandboxError
from sandbox.names import INGRESS_PORT, Names
from sandbox.step import State
from tests.support.fakes import FakeContainer, FakeEngine, NoWork, applied
from tests.support.memory_nodes import Nodes

HOSTS = ("hub.demo.localhost", "hub.demo.localhost:8443")
HOSTS_FILE = PurePosixPath("/etc/hosts")
TOML = PurePosixPath("/etc/containerd/certs.d/hub.demo.localhost:8443/hosts.toml")


def shell(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    """`echo 'LINE' >> FILE`, which is all that this step asks of it."""
    text, arrows, file = argv[2].rpartition(" >> ")
    assert arrows
    box.files[PurePosixPath(file)] += text.removeprefix("echo ").strip("'").encode() + b"\n"
    return 0, ""


@pytest.fixture
def node(engine: FakeEngine, names: Names) -> FakeContainer:
    node = Nodes(engine).add(names, names.node, "control-plane")
    node.files[HOSTS_FILE] = b"::1\tlocalhost\n"
    engine.programs["sh"] = shell
    return node


@pytest.fixture
def step(engine: FakeEngine, names: Names, node: FakeContainer) -> TlsRegistryStep:
    return TlsRegistryStep(kind_provider.nodes(engine, names), HOSTS, INGRESS_PORT)


def test_the_node_knows_the_name_once_and_each_way_to_write_it(node: FakeContainer, step: TlsRegistryStep) -> None:
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    assert node.files[HOSTS_FILE] == b"::1\tlocalhost\n127.0.0.1 hub.demo.localhost\n"
    url = f"https://hub.demo.localhost:{INGRESS_PORT}"
    said = tomllib.loads(node.files[TOML].decode())
    assert said == {"server": url, "host": {url: {"capabilities": ["pull", "resolve"], "ca": str(ROOT)}}}
    assert not step.undo()


def test_changed_files_are_put_right_on_every_node(
    engine: FakeEngine, names: Names, node: FakeContainer, step: TlsRegistryStep
) -> None:
    worker = Nodes(engine).add(names, f"{names.cluster}-worker")
    worker.files[HOSTS_FILE] = b""
    step.apply(NoWork())
    before = node.files[TOML]
    node.files[TOML] = b"server = 'elsewhere'\n"
    assert (step.check().state, str(TOML) in step.check().detail) == (State.DRIFTED, True)
    step.apply(NoWork())
    assert node.files[TOML] == worker.files[TOML] == before
    worker.files[HOSTS_FILE] = b"127.0.0.1\tlocalhost\n"  # as after a restart
    assert step.check().detail.endswith(f"/etc/hosts on {names.cluster}-worker")
    assert applied(step).state is State.READY


def test_node_without_hosts_file_is_reported(engine: FakeEngine, step: TlsRegistryStep) -> None:
    step.apply(NoWork())
    engine.programs["cat"] = lambda box, argv: (1, "cat: No such file or directory")
    with pytest.raises(SandboxError, match="/etc/hosts"):
        step.check()
