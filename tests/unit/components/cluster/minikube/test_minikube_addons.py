"""minikube's addons by what a minikube in memory was told and what an API server holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.cluster.minikube import minikube_addons
from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
from sandbox.components.cluster.minikube.minikube_addons import LABEL, MinikubeAddonsStep, MinikubeDisusedStep
from sandbox.components.cluster.minikube.provider import PROFILE, ROLE, nodes
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Names
from sandbox.step import State, Status
from sandbox.system.process import ToolFailed
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeContainer, FakeEngine, NoWork

CONTROLLER = "/apis/apps/v1/namespaces/kube-system/deployments/dashboard"
RECORD = "/api/v1/namespaces/sandbox-system/configmaps/minikube-addons"


@dataclass
class World:
    server: ApiServer
    on: dict[str, bool] = field(default_factory=lambda: {"ingress": False, "dashboard": False, "olm": True})
    calls: list[str] = field(default_factory=list)
    ready: int = 1
    pulls: dict[str, tuple[int, str]] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)

    def crictl(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        """A node that has what it pulled, and pulls whatever `pulls` has nothing against."""
        image = argv[-1]
        if "inspecti" in argv:
            return (0, "") if image in self.pulled else (1, "no such image")
        answer = self.pulls.get(image, (0, ""))
        if answer[0] == 0:
            self.pulled.append(image)
        return answer


@dataclass(frozen=True)
class Playing(Minikube):
    world: World

    def addons(self) -> dict[str, bool]:
        return dict(self.world.on)

    def images(self, addon: str, chosen: Mapping[str, str], registries: Mapping[str, str]) -> dict[str, str]:
        own = {"A": "x.example/a:1", "B": "x.example/b:1"} if addon == "dashboard" else {}
        return {key: f"{registries.get(key)}/{name}" for key, name in chosen.items()} or own

    def enable(self, addon: str, *, options: tuple[str, ...] = ()) -> None:
        self.world.calls.append(" ".join(("enable", addon, *options)))
        if addon == "ingress":
            raise ToolFailed("minikube failed with status 10", details="timed out")
        self.world.on[addon] = True
        self.world.server.objects[CONTROLLER] = {
            "kind": "Deployment",
            "metadata": {"name": addon, "namespace": "kube-system", "labels": {LABEL: addon}, "generation": 1},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": self.world.ready},
        }

    def disable(self, addon: str) -> None:
        self.world.calls.append(f"disable {addon}")
        self.world.on[addon] = False


@pytest.fixture
def world(server: ApiServer, engine: FakeEngine) -> World:
    made = World(server)
    engine.create_network("p", {})
    spec = ContainerSpec(name="p", image="node", command=(), labels={PROFILE: "p", ROLE: ""}, network="p")
    engine.add(FakeContainer(spec, "", read_only=False))
    engine.programs |= {"crictl": made.crictl, "timeout": made.crictl}
    return made


MakeStep = Callable[..., MinikubeAddonsStep]


@pytest.fixture
def step(world: World, names: Names, engine: FakeEngine) -> MakeStep:
    def step(*uses: WantedAddon) -> MinikubeAddonsStep:
        minikube = Playing(Path("/minikube"), "p", world)
        return MinikubeAddonsStep(minikube=minikube, names=names, nodes=nodes(engine, "p"), uses=uses)

    return step


def test_addon_is_enabled_with_its_images_and_recorded(step: MakeStep, world: World) -> None:
    made = step(WantedAddon("dashboard", {"registries": "A=localhost:5001", "images": "A=creds:1"}))
    assert made.check() == Status(State.ABSENT, "dashboard is off")
    made.apply(NoWork())
    assert world.calls == ["enable dashboard --images=A=creds:1 --registries=A=localhost:5001"]
    assert world.pulled == ["localhost:5001/creds:1"]
    assert made.check() == Status(State.READY, "dashboard")
    world.server.objects[CONTROLLER]["status"] = {}
    assert made.check().state is State.DRIFTED


def test_addon_that_does_not_start_is_reported(step: MakeStep, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minikube_addons, "TIMEOUT", 0.0)
    world.ready = 0
    with pytest.raises(WaitTimeout) as caught:
        step(WantedAddon("dashboard")).apply(NoWork())
    assert "Deployment kube-system/dashboard" in caught.value.details
    with pytest.raises(MinikubeFailed, match="could not enable 'ingress'"):
        step(WantedAddon("ingress")).apply(NoWork())


def test_addon_with_missing_images_is_not_enabled_and_named(step: MakeStep, world: World) -> None:
    said = r"""msg="pulling: failed to resolve \"x.example/a:1\": failed to do request: Head \"https://x\": """
    world.pulls = {"x.example/a:1": (1, f'began\n{said}dial tcp: lookup x.example: no such host"\n')}
    with pytest.raises(SandboxError, match="cannot pull 1 image of minikube's addon 'dashboard'") as caught:
        step(WantedAddon("dashboard")).apply(NoWork())
    assert caught.value.details == "x.example/a:1: dial tcp: lookup x.example: no such host"
    assert caught.value.id == "addon-image"
    assert 'images: "A=NAME:TAG", registries: "A=localhost:PORT"' in caught.value.fix
    assert (world.calls, world.pulled) == ([], ["x.example/b:1"])
    assert RECORD not in world.server.objects
    # Whether pods have an account there only they can tell.
    world.pulls = {"x.example/a:1": (1, "unexpected status: 401 Unauthorized"), "x.example/b:1": (124, "")}
    step(WantedAddon("dashboard")).apply(NoWork())
    assert world.calls == ["enable dashboard"]


def test_addons_of_an_earlier_spec_go_and_users_own_stay(step: MakeStep, world: World) -> None:
    step(WantedAddon("dashboard"), WantedAddon("olm")).apply(NoWork())
    none = step()
    disused = MinikubeDisusedStep(none.minikube, none.names, ("olm",))
    assert replace(disused, used=("olm", "dashboard")).check().state is State.READY
    assert disused.check() == Status(State.DRIFTED, "no longer in the spec: dashboard")
    disused.apply(NoWork())
    assert (disused.check().state, none.check().detail) == (State.READY, "none")
    assert world.on == {"ingress": False, "dashboard": False, "olm": True}
    replace(none, asked=(WantedAddon("dashboard"),)).apply(NoWork())
    assert world.server.objects[RECORD]["data"] == {"dashboard": "command"}
    assert none.check() == Status(State.READY, "dashboard")
    none.disable("dashboard")
    assert none.check().detail == "none"


@pytest.mark.parametrize(
    ("use", "said", "fix"),
    [
        (WantedAddon("none"), "no addon 'none'", "it has: "),
        (WantedAddon("olm", {"x": "y"}), "no value 'x'", "it has: "),
        (WantedAddon("registry-creds"), "'registry-creds' is not supported", "credentials:"),
    ],
)
def test_unsupported_addon_is_refused_with_a_fix(
    step: MakeStep, world: World, use: WantedAddon, said: str, fix: str
) -> None:
    world.on["registry-creds"] = False
    with pytest.raises(UsageError, match=said) as caught:
        step(use).apply(NoWork())
    assert fix in caught.value.fix and world.calls == []
