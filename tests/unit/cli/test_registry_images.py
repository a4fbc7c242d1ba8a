"""`sandbox images list` and `gc` from its options to its two outputs; a registry of others needs no engine."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.cli.images import images as command
from sandbox.config.schema import Spec
from sandbox.engine import Bind, ContainerSpec, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.oci.client import Client
from tests.support import in_process
from tests.support.fakes import FakeEngine
from tests.support.registry_simulator import Fault, Simulator
from tests.unit.images.test_registry_content import place


@pytest.fixture
def spec(tmp_path: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    in_process.quiet(monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "sandbox.yaml"
    file.write_text(f"registry: {{external: '{registry.url}'}}\n")
    return file


run = partial(in_process.run, command)


def test_each_tag_has_its_size_and_what_no_other_user_has_of_it(spec: Path, registry: Simulator) -> None:
    with Client(registry.url) as client:
        first = place(client, "app", "1", b"b" * 3_000_000, b"m" * 1_000_000)
        place(client, "other", "dev", b"b" * 3_000_000)
    lines = run("list", "-f", spec).stdout.splitlines()
    assert lines[0].split() == ["app:1", first.digest[7:19], "4.0", "MB", "1.0", "MB", "its", "own"]
    assert lines[1].split()[0] == "other:dev"
    report = json.loads(run("list", "-f", spec, "-o", "json").stdout)
    assert report["registry"] == registry.url
    (app, other) = report["images"]
    assert (app["repository"], app["tag"], app["digest"]) == ("app", "1", first.digest)
    assert app["unique_bytes"] + app["shared_bytes"] == app["bytes"]
    assert app["shared_bytes"] == other["shared_bytes"] == 3_000_000
    assert report["bytes"] == app["bytes"] + other["bytes"] - 3_000_000


def test_tag_without_a_manifest_is_listed_as_gone(spec: Path, registry: Simulator) -> None:
    with Client(registry.url) as client:
        place(client, "app", "1", b"layer")
    registry.faults.append(Fault("HEAD", "/v2/app/manifests/1", 404, times=2))
    assert run("list", "-f", spec).stdout.split()[:2] == ["app:1", "gone"]
    (app,) = json.loads(run("list", "-f", spec, "-o", "json").stdout)["images"]
    assert (app["digest"], app["bytes"]) == ("", 0)


def test_list_uses_the_accounts_and_the_ca_of_the_spec(
    tmp_path: Path, registry: Simulator, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.basic = "me:secret"
    with pytest.raises(SandboxError, match="refused"):
        run("list", "-f", spec)
    host = registry.url.removeprefix("http://")
    auth = base64.b64encode(registry.basic.encode()).decode()
    (tmp_path / "accounts.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    spec.write_text(
        spec.read_text() + "credentials: [{kind: docker, file: accounts.json}]\nnetwork: {ca: company.pem}\n"
    )
    trusted: list[Spec] = []
    monkeypatch.setattr(context, "trust", trusted.append)
    assert run("list", "-f", spec).exit_code == 0
    assert [one.network.ca for one in trusted] == [tmp_path / "company.pem"]


def test_the_garbage_of_a_registry_of_others_is_theirs(spec: Path) -> None:
    with pytest.raises(UsageError, match="not the sandbox's own"):
        run("gc", "-f", spec)


@pytest.mark.security(22)
@pytest.mark.parametrize("words", [("list", "-n", "nosuch"), ("gc", "-n", "nosuch")])
def test_sandbox_without_a_registry_is_an_error(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`images list -n NAME` of a sandbox that was never up, while another has the default port → an error."""
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(tmp_path)
    engine, other = FakeEngine("registry:1"), context.home().sandbox("other")
    engine.create_network(other.network, other.labels)
    publish, labels = {5000: (Bind("127.0.0.1", 5001),)}, other.labels
    engine.run(
        ContainerSpec(
            name=other.registry,
            image="registry:1",
            command=("x",),
            labels=labels,
            network=other.network,
            publish=publish,
        )
    )
    monkeypatch.setattr(Engine, "connect", staticmethod(lambda: engine))
    with pytest.raises(SandboxError) as caught:
        run(*words)
    assert caught.value.id in ("no-sandbox", "not-up") and "nosuch" in str(caught.value)
