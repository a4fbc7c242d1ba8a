"""The caches of upstream registries: containers in memory, their settings and accounts in real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
import yaml

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.registry.mirrors_step import MirrorsStep
from sandbox.engine import ContainerSpec
from sandbox.names import Names
from sandbox.oci.credential import Credential
from sandbox.step import State, Status
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied

SECRET = "canary-4711"


class Accounts(dict[str, Credential]):
    """A keychain in memory."""

    def find(self, host: str) -> Credential | None:
        return self.get(host)


@pytest.fixture
def step(engine: FakeEngine, names: Names) -> MirrorsStep:
    engine.shares = True
    accounts = Accounts({"quay.io": Credential("me", SECRET)})
    image, upstreams, company = UPSTREAM["registry"], ("docker.io", "quay.io"), CompanyCa("none")
    return MirrorsStep(
        engine=engine, names=names, image=image, upstreams=upstreams, lent=accounts, purge=False, company=company
    )


def test_each_upstream_has_a_cache_unreachable_from_outside(engine: FakeEngine, step: MirrorsStep) -> None:
    names = step.names
    assert step.check().state is State.ABSENT
    assert applied(step) == Status(State.READY, "docker.io without an account; quay.io signed in as me")
    assert engine.boxes.keys() == {names.mirror("docker.io"), names.mirror("quay.io")}
    for box in engine.boxes.values():
        assert (box.spec.publish, box.spec.network) == ({}, NETWORK)
        assert names.labels.items() <= box.spec.labels.items()


def test_account_is_in_private_files_and_nowhere_else(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    file = names.mirrors / "quay.io" / "config.yml"
    assert yaml.safe_load(file.read_bytes())["proxy"]["password"] == SECRET
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    box, place = engine.boxes[names.mirror("quay.io")], PurePosixPath("/etc/distribution/config.yml")
    assert (box.files[place], box.modes[place]) == (file.read_bytes(), 0o600)
    assert all(SECRET not in repr(replace(box.spec, folders={})) for box in engine.boxes.values())
    assert SECRET not in repr(step) and SECRET not in step.check().detail


def test_stopped_or_removed_mirror_is_restored(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    for harm in (engine.remove_container, lambda name: engine.signal(name, "SIGKILL")):
        harm(names.mirror("docker.io"))
        assert step.check().state is State.DRIFTED
        assert applied(step).state is State.READY


def test_unreachable_upstream_does_not_fail_up(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    box = engine.boxes[names.mirror("quay.io")]
    box.running, box.log = False, "panic: dial tcp: lookup quay.io\n\ngoroutine 1 [running]:\nmain.main()\n"
    status = step.check()
    assert status.state is State.READY and "quay.io cannot be reached now" in status.detail


def test_a_cache_that_the_spec_has_no_more_goes(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    image, labels = UPSTREAM["busybox"], names.labels
    engine.run(ContainerSpec(name="stranger", image=image, command=("sleep",), labels=labels, network=NETWORK))
    for upstreams, left in ((("docker.io",), {names.mirror("docker.io")}), ((), set())):
        fewer = replace(step, upstreams=upstreams)
        assert fewer.check().state is State.DRIFTED
        assert applied(fewer).state is State.READY
        assert engine.boxes.keys() == left | {"stranger"}
        assert {one.parent.name for one in names.mirrors.glob("*/config.yml")} == {"docker.io"} & set(upstreams)


def test_down_keeps_what_was_pulled_unless_it_purges(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    other = replace(step, names=names.home.sandbox("other"))
    engine.create_network(other.names.network, other.names.labels)
    other.apply(NoWork())
    nameless = replace(step, upstreams=())  # `down NAME` far from the spec
    assert nameless.undo()
    assert names.mirror("docker.io") in engine.volumes
    assert replace(nameless, purge=True).undo()
    assert not names.mirrors.exists() and names.mirror("docker.io") not in engine.volumes
    assert not replace(nameless, purge=True).undo()
    assert other.check().state is State.READY


def test_changed_account_recreates_one_cache_over_its_data(engine: FakeEngine, names: Names, step: MirrorsStep) -> None:
    step.apply(NoWork())
    volume, hub = engine.volumes[names.mirror("quay.io")], engine.boxes[names.mirror("docker.io")]
    changed = replace(step, lent=Accounts({"quay.io": Credential("me", "it's: {odd}\\ #")}))
    assert changed.check().state is State.DRIFTED and "quay.io" in changed.check().detail
    assert applied(changed).state is State.READY
    assert engine.boxes[names.mirror("docker.io")] is hub
    assert engine.volumes[names.mirror("quay.io")] is volume
    settings = yaml.safe_load((names.mirrors / "quay.io" / "config.yml").read_bytes())
    assert settings["http"] == {"addr": ":5000"}
    assert settings["storage"] == {"filesystem": {"rootdirectory": "/var/lib/registry"}, "delete": {"enabled": True}}
    assert settings["proxy"] == {"remoteurl": "https://quay.io", "username": "me", "password": "it's: {odd}\\ #"}


@pytest.mark.security(20)
@pytest.mark.parametrize("account", [None, Credential(identity=SECRET), Credential("me", identity=SECRET)])
def test_mirror_without_a_lent_password_asks_without_an_account(
    names: Names, step: MirrorsStep, account: Credential | None
) -> None:
    """`docker login` has an account for a mirrored registry, and none is lent → the mirror asks without it."""
    bare = replace(step, upstreams=("quay.io",), lent=Accounts({"quay.io": account} if account else {}))
    bare.apply(NoWork())
    settings = yaml.safe_load((names.mirrors / "quay.io" / "config.yml").read_bytes())
    assert settings["proxy"] == {"remoteurl": "https://quay.io", "exec": {"command": "anonymous"}}
    assert bare.check().detail == "quay.io without an account"
