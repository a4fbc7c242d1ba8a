"""The plan of a sandbox: what is in it for which spec, in which order, and what walks over it leave of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from sandbox import lifecycle, plan
from sandbox.bundle.own import UPSTREAM, OwnImages
from sandbox.bundle.recipe import recipes
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.host.engine import Bind
from sandbox.names import DEFAULT_TLS, EDGE, NETWORK, SYSTEM_NAMESPACE, Home, Names
from sandbox.proxy import routes
from sandbox.report import Silent
from sandbox.spec import Spec
from sandbox.steps.apply import ApplyStep
from sandbox.steps.authority import AuthorityStep
from sandbox.steps.cluster import ClusterStep
from sandbox.steps.edge import EdgeStep
from sandbox.steps.page import PageStep
from sandbox.steps.push import PushStep
from sandbox.steps.registry import RegistryStep
from sandbox.steps.secrets import SecretsStep, TlsSecret
from sandbox.steps.step import Step
from tests.fakes import FakeEngine
from tests.registry_simulator import Simulator

S = TypeVar("S")
OWN = OwnImages("upstream", UPSTREAM)
ALWAYS = {"images", "network", "certificates", "registry", "edge", "cluster", "context", "dns", "wiring", "secrets"}
WITHOUT_CLUSTER = {"images", "network", "certificates", "registry", "edge"}


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


@pytest.fixture(autouse=True)
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kind on the PATH that plans need to know of, and that nothing here runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "kind"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return program


@pytest.fixture
def images(tmp_path: Path) -> Path:
    manifest = tmp_path / "images.yaml"
    manifest.write_text("images: [docker.io/library/busybox:1, {from: daemon, image: 'app:dev'}]\n")
    return manifest


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    manifest = tmp_path / "objects.yaml"
    manifest.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    return manifest


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def build(spec: Spec, place: Home, own: OwnImages = OWN, engine: FakeEngine | None = None) -> dict[str, Step]:
    steps = plan.build(spec, place, engine or FakeEngine(), own)
    named = {step.name: step for step in steps}
    assert len(named) == len(steps)
    return named


def one(kind: type[S], steps: dict[str, Step]) -> S:
    (found,) = (step for step in steps.values() if isinstance(step, kind))
    return found


def test_a_default_sandbox_ends_with_the_proof_that_it_works(place: Home) -> None:
    steps = build(Spec(), place)
    assert steps.keys() == ALWAYS | {"ingress", "page", "https"}
    assert list(steps)[-1] == "https"


@pytest.mark.parametrize("push", [False, True])
@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("controller", ["traefik", "none"])
def test_whatever_a_step_needs_is_there_and_comes_before_it(
    place: Home, images: Path, objects: Path, push: bool, apply: bool, controller: Any
) -> None:
    spec = Spec.model_validate({"ingress": {"controller": controller}}).model_copy(
        update={"push": images if push else None, "apply": (objects,) if apply else ()}
    )
    steps = build(spec, place)
    optional = {"push": push, "apply": apply, **dict.fromkeys(("ingress", "page", "https"), controller == "traefik")}
    assert steps.keys() == ALWAYS | {name for name, wanted in optional.items() if wanted}
    seen: set[str] = set()
    for step in steps.values():
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)


def test_what_users_see_last_waits_for_their_own_objects(place: Home, images: Path, objects: Path) -> None:
    steps = build(Spec().model_copy(update={"push": images, "apply": (objects,)}), place)
    assert {"push", "wiring", "secrets"} <= set(steps["apply"].needs)
    assert "apply" in steps["page"].needs
    assert {"apply", "edge"} <= set(steps["https"].needs)


def test_names_ports_and_certificates_derive_from_the_spec(place: Home, images: Path, objects: Path) -> None:
    spec = Spec.model_validate(
        {
            "name": "shop",
            "domain": "shop.example.com",
            "registry": {"port": 5055},
            "proxy": {"listen": "127.0.0.2", "ports": (9443, 10443)},
            "network": {"nameservers": ("9.9.9.9",)},
            "certs": {"secrets": ({"secret": "api", "namespace": "web", "hosts": ("api.shop.example.com",)},)},
        }
    ).model_copy(update={"push": images, "apply": (objects,)})
    steps = build(spec, place)
    assert {step.names for step in steps.values() if hasattr(step, "names")} == {place.sandbox("shop")}
    assert one(RegistryStep, steps).port == one(PushStep, steps).port == 5055
    assert one(EdgeStep, steps).binds == (Bind("127.0.0.2", 9443), Bind("127.0.0.2", 10443))
    assert one(PageStep, steps).port == 9443
    assert one(ClusterStep, steps).nameservers == ("9.9.9.9",)
    assert [str(entry.target) for entry in one(PushStep, steps).entries] == ["busybox:1", "app:dev"]
    assert [each["metadata"]["name"] for each in one(ApplyStep, steps).manifests] == ["a"]
    secrets, leaves = one(SecretsStep, steps).secrets, one(AuthorityStep, steps).leaves
    assert {(each.namespace, each.secret) for each in secrets} == {(SYSTEM_NAMESPACE, DEFAULT_TLS), ("web", "api")}
    assert {each.leaf: each.hosts for each in secrets} == leaves
    assert {"shop.example.com", "*.shop.example.com"} <= set(leaves["default"])
    assert secrets[1] == TlsSecret("web", "api", "web.api", ("api.shop.example.com",))


def test_only_the_bundle_s_node_has_tags_of_its_own(place: Home) -> None:
    upstream = one(ClusterStep, build(Spec(), place))
    bundled = OwnImages("bundle", {name: recipes()[name].reference for name in UPSTREAM})
    ours = one(ClusterStep, build(Spec(), place, bundled))
    assert (upstream.tags, upstream.image) == (None, UPSTREAM["node"])
    assert (ours.image, ours.version) == (recipes()["node"].reference, recipes()["node"].version)
    assert ours.tags is not None
    assert ours.tags.etcd == f"{recipes()['etcd'].version}-0"


def test_two_sandboxes_have_no_name_in_common(place: Home) -> None:
    derived = [name for name, value in vars(Names).items() if isinstance(value, property)]
    assert len(derived) > 5
    for name in derived:
        assert getattr(place.sandbox("a"), name) != getattr(place.sandbox("b"), name), name


@pytest.mark.parametrize("broken", ["push", "apply"])
def test_a_manifest_that_is_wrong_is_said_before_anything_is_made(place: Home, tmp_path: Path, broken: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("kind: [\n")
    engine = FakeEngine()
    with pytest.raises(UsageError, match=r"wrong\.yaml"):
        build(Spec().model_copy(update={broken: wrong if broken == "push" else (wrong,)}), place, engine=engine)
    assert not place.state.exists()
    assert engine.networks == {}


def test_without_kind_there_is_no_plan(place: Home, kind: Path) -> None:
    kind.unlink()
    with pytest.raises(MissingTool, match="kind is not installed"):
        build(Spec(), place)


def part(engine: FakeEngine, place: Home, name: str, registry: Simulator, *, purge: bool = False) -> list[Step]:
    """What of a sandbox's plan needs no cluster."""
    spec = Spec.model_validate({"name": name, "registry": {"port": urlsplit(registry.url).port}})
    steps = plan.build(spec, place, engine, OWN, purge=purge)
    return [step for step in steps if step.name in WITHOUT_CLUSTER]


def test_two_sandboxes_come_and_go_on_one_machine(place: Home, registry: Simulator) -> None:
    engine = FakeEngine()
    engine.upstream = set(UPSTREAM.values())
    with Simulator() as second:
        assert lifecycle.up(part(engine, place, "a", registry), Silent())
        assert lifecycle.up(part(engine, place, "b", second), Silent())
        assert not lifecycle.up(part(engine, place, "a", registry), Silent())
        assert engine.boxes.keys() == {EDGE, "sandbox-a-registry", "sandbox-b-registry"}
        lifecycle.down(part(engine, place, "a", registry), Silent())
        assert engine.boxes.keys() == {EDGE, "sandbox-b-registry"}
        assert [route.name for route in routes.load(place.edge)] == ["b"]
        assert not lifecycle.up(part(engine, place, "b", second), Silent())
        lifecycle.down(part(engine, place, "b", second, purge=True), Silent())
    assert (engine.boxes, engine.networks) == ({}, {})
    assert engine.volumes.keys() == {"sandbox-a-registry"}
    assert [path.name for path in (place.state / "certificates").iterdir()] == ["a"]
    assert {UPSTREAM["node"], UPSTREAM["registry"]} <= engine.images.keys()


def test_a_sandbox_that_cannot_come_up_leaves_the_other_as_it_was(place: Home, registry: Simulator) -> None:
    engine = FakeEngine()
    engine.upstream = set(UPSTREAM.values())
    lifecycle.up(part(engine, place, "a", registry), Silent())
    with Simulator() as second:
        engine.busy.add(urlsplit(second.url).port or 0)
        with pytest.raises(SandboxError, match="sandbox-b-registry"):
            lifecycle.up(part(engine, place, "b", second), Silent())
    assert engine.boxes.keys() == {EDGE, "sandbox-a-registry"}
    assert NETWORK in engine.networks
    assert not lifecycle.up(part(engine, place, "a", registry), Silent())
