"""`sandbox images` from its options to its outputs: node images that go, and the registry's content and garbage."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context
from sandbox.app.running import snapshots
from sandbox.bundle import machine_node
from sandbox.cli import images
from sandbox.config.schema import Spec
from sandbox.engine import ContainerSpec, Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.oci.client import Client
from sandbox.snapshot.snapshot_store import MANIFEST, Store
from tests.support import in_process
from tests.support.fakes import FakeContainer, FakeEngine
from tests.support.registry_simulator import Fault, Simulator
from tests.unit.cli.test_push_images import registry_of
from tests.unit.images.test_registry_content import place

OLD, USED = "sandbox.dev/node:v1.36.4-000000000000", "sandbox.dev/node:v1.37.0-111111111111"
OTHERS = "shop/node:1"
PUBLISHED = "kindest/node"
SIZES = {OLD: 1_300_000_000, USED: 1_200_000_000, OTHERS: 1_250_000_000, PUBLISHED: 1_000_000_000}


class Labelled(FakeEngine):
    """An engine whose images all have the label, one of them with a stopped container."""

    def __init__(self) -> None:
        super().__init__()
        self.images = {name: f"sha256:{name}" for name in SIZES}
        spec = ContainerSpec(name="node", image="", command=(), network="none", labels={machine_node.LABEL: ""})
        self.add(FakeContainer(spec, self.images[USED], running=False))

    def labelled_images(self, label: str) -> tuple[str, ...]:
        assert label == f"{machine_node.OWNER}={os.getuid()}"
        return (USED, OTHERS, OLD)

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        plain = name.removeprefix("sha256:")
        if plain not in self.images:
            return None
        below = f"sha256:{PUBLISHED}" if plain == OLD else ""
        return {"Id": self.images[plain], "Size": SIZES[plain], "Parent": below}

    def remove_image(self, name: str) -> bool:
        return self.images.pop(name, None) is not None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Labelled:
    found = Labelled()
    monkeypatch.setattr(Engine, "connect", lambda *_: found)
    return found


pytestmark = pytest.mark.usefixtures("quiet")
run = partial(in_process.run, images.images)
prune = partial(run, "prune")


def test_unused_node_image_is_removed_and_measured(engine: Labelled) -> None:
    result = prune("--yes")
    assert result.stdout == f"{OLD}    300.0 MB\n"
    assert result.stderr == "1 node image removed, 300.0 MB; 1 other in use\n"
    assert engine.images.keys() == {USED, OTHERS, PUBLISHED}


def test_image_stays_without_consent_or_of_a_snapshot(engine: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prune("--dry-run").stderr == "1 node image would be removed, 300.0 MB; 1 other in use\n"
    with pytest.raises(UsageError, match="would be removed") as caught:
        prune()
    assert caught.value.id == "consent" and OLD in caught.value.details
    monkeypatch.setattr(Store, "images", lambda _: {engine.images[OLD]})
    assert "0 node images removed, 0.0 MB; 2 others in use" in prune("--yes").stderr
    assert engine.images.keys() == SIZES.keys()


def test_nothing_is_pruned_while_a_snapshot_cannot_be_read(engine: Labelled) -> None:
    """A snapshot is of a later release → no image is removed, for it may need any of them."""
    file = snapshots.store().place("demo", "later") / MANIFEST
    file.parent.mkdir(parents=True)
    file.write_text('{"format": 2}')
    with pytest.raises(SandboxError) as caught:
        prune("--yes")
    assert caught.value.id == "snapshot-damaged" and "the release of sandbox that saved it" in caught.value.fix
    assert engine.images.keys() == SIZES.keys()


@pytest.fixture
def spec(tmp_path: Path, registry: Simulator) -> Path:
    file = tmp_path / "sandbox.yaml"
    file.write_text(f"registry: {{external: '{registry.url}'}}\n")
    return file


def test_each_tag_has_its_size_and_what_no_other_user_has_of_it(spec: Path, registry: Simulator) -> None:
    with Client(registry.url) as client:
        first = place(client, "app", "1", b"b" * 3_000_000, b"m" * 1_000_000)
        place(client, "other", "dev", b"b" * 3_000_000)
    lines = run("list", "-f", spec).stdout.splitlines()
    assert lines[0].split() == ["app:1", first.digest[7:19], "4.0", "MB", "1.0", "MB", "its", "own"]
    report = json.loads(run("list", "-f", spec, "-o", "json").stdout)
    app, other = report["images"]
    assert (app["repository"], app["tag"], app["digest"]) == ("app", "1", first.digest)
    assert app["shared_bytes"] == other["shared_bytes"] == 3_000_000
    assert (report["registry"], report["bytes"]) == (registry.url, app["bytes"] + other["bytes"] - 3_000_000)
    registry.faults.append(Fault("HEAD", "/v2/app/manifests/1", 404, times=2))
    assert run("list", "-f", spec).stdout.split()[:2] == ["app:1", "gone"]
    gone, _ = json.loads(run("list", "-f", spec, "-o", "json").stdout)["images"]
    assert (gone["digest"], gone["bytes"]) == ("", 0)


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
    with pytest.raises(UsageError, match="not the sandbox's own"):
        run("gc", "-f", spec)
    assert [one.network.ca for one in trusted] == [tmp_path / "company.pem"]


@pytest.mark.security(22)
@pytest.mark.parametrize("command", ["list", "gc"])
def test_sandbox_without_a_registry_is_an_error(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`images list -n NAME` of a sandbox that was never up, while another has the default port → an error."""
    engine = registry_of("other", 5001)
    monkeypatch.setattr(Engine, "connect", staticmethod(lambda: engine))
    with pytest.raises(SandboxError, match="nosuch") as caught:
        run(command, "-n", "nosuch")
    assert caught.value.id in ("no-sandbox", "not-up")
