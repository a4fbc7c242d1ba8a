"""minikube's addons by what a minikube in memory was told and what an API server holds."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.cluster.minikube import minikube_addons, registry_creds
from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
from sandbox.components.cluster.minikube.minikube_addons import LABEL, MinikubeAddonsStep, MinikubeDisusedStep
from sandbox.components.cluster.minikube.provider import PROFILE, ROLE, nodes
from sandbox.config.schema.credentials_schema import Docker
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.step import State
from sandbox.system.process import ToolFailed
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeContainer, FakeEngine, NoWork

CONTROLLER = "/api/v1/namespaces/kube-system/replicationcontrollers/registry-creds"
SECRET = "/api/v1/namespaces/kube-system/secrets/registry-creds-"
RECORD = "/api/v1/namespaces/sandbox-system/configmaps/minikube-addons"


@dataclass
class World:
    """A minikube's addons, and what it was called for."""

    server: ApiServer
    on: dict[str, bool] = field(default_factory=lambda: {"ingress": False, "registry-creds": False, "olm": True})
    calls: list[str] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)
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

    def images(
        self, addon: str, chosen: Mapping[str, str] | None = None, registries: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        own = {"A": "x.example/a:1", "B": "x.example/b:1"} if addon == "registry-creds" else {}
        return {key: f"{(registries or {}).get(key)}/{name}" for key, name in (chosen or {}).items()} or own

    def enable(self, addon: str, *, options: tuple[str, ...] = ()) -> None:
        self.world.calls.append(" ".join(("enable", addon, *options)))
        if addon == "ingress":
            raise ToolFailed("minikube failed with status 10", details="timed out")
        self.world.on[addon] = True
        self.world.server.objects[CONTROLLER] = {
            "kind": "ReplicationController",
            "metadata": {"name": addon, "namespace": "kube-system", "labels": {LABEL: addon}},
            "spec": {"replicas": 1},
            "status": {"readyReplicas": self.world.ready},
        }

    def disable(self, addon: str) -> None:
        self.world.calls.append(f"disable {addon}")
        self.world.on[addon] = False

    def configure(self, addon: str, settings: Path) -> None:
        assert stat.S_IMODE(settings.stat().st_mode) == 0o600
        self.world.settings = parts = json.loads(settings.read_text())["addons"][addon]
        docker = parts["dockerConfigs"]
        keys = ("SERVER", "dockerServer"), ("USER", "dockerUser"), ("PASSWORD", "dockerPass")
        values = {f"DOCKER_PRIVATE_REGISTRY_{name}": docker[key] for name, key in keys}
        self.world.server.objects[f"{SECRET}dpr"] = secret(values)


def secret(values: dict[str, str]) -> dict[str, object]:
    return {"metadata": {}, "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}


@pytest.fixture
def world(server: ApiServer, engine: FakeEngine) -> World:
    server.kinds["/api/v1"]["ReplicationController"] = ("replicationcontrollers", True)
    server.kinds["/apis/apps/v1"]["DaemonSet"] = ("daemonsets", True)
    made = World(server)
    engine.create_network("p", {})
    engine.add(
        FakeContainer(
            ContainerSpec(name="p", image="node", command=(), labels={PROFILE: "p", ROLE: ""}, network="p"),
            "",
            read_only=False,
        )
    )
    engine.programs |= {"crictl": made.crictl, "timeout": made.crictl}
    return made


@pytest.fixture
def step(world: World, names: Names, engine: FakeEngine) -> Callable[..., MinikubeAddonsStep]:
    def step(*uses: WantedAddon, entries: tuple[Docker, ...] = ()) -> MinikubeAddonsStep:
        return MinikubeAddonsStep(
            minikube=Playing(Path("/minikube"), "p", world),
            names=names,
            nodes=nodes(engine, "p"),
            uses=uses,
            entries=entries,
            environ=os.environ,
        )

    return step


def test_addon_is_enabled_with_its_images_and_recorded(step: Callable[..., MinikubeAddonsStep], world: World) -> None:
    made = step(WantedAddon("registry-creds", {"registries": "A=localhost:5001", "images": "A=creds:1"}))
    assert (made.check().state, made.check().detail) == (State.ABSENT, "registry-creds is off")
    made.apply(NoWork())
    assert world.calls == ["enable registry-creds --images=A=creds:1 --registries=A=localhost:5001"]
    assert world.pulled == ["localhost:5001/creds:1"]
    assert (made.check().state, made.check().detail) == (State.READY, "registry-creds")
    world.server.objects[CONTROLLER]["status"] = {}
    assert (made.check().state, "0 of 1 pods" in made.check().detail) == (State.DRIFTED, True)


def test_addon_that_does_not_start_is_reported(
    step: Callable[..., MinikubeAddonsStep], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minikube_addons, "TIMEOUT", 0.0)
    world.ready = 0
    with pytest.raises(WaitTimeout) as caught:
        step(WantedAddon("registry-creds")).apply(NoWork())
    assert "ReplicationController kube-system/registry-creds: 0 of 1 pods are ready" in caught.value.details
    with pytest.raises(MinikubeFailed, match="could not enable 'ingress'"):
        step(WantedAddon("ingress")).apply(NoWork())


def test_addon_with_missing_images_is_not_enabled_and_named(
    step: Callable[..., MinikubeAddonsStep], world: World
) -> None:
    said = r"""msg="pulling: failed to resolve \"x.example/a:1\": failed to do request: Head \"https://x\": """
    world.pulls = {"x.example/a:1": (1, f'began\n{said}dial tcp: lookup x.example: no such host"\n')}
    with pytest.raises(SandboxError, match="cannot pull an image of minikube's addon 'registry-creds'") as caught:
        step(WantedAddon("registry-creds")).apply(NoWork())
    assert caught.value.details == "x.example/a:1: dial tcp: lookup x.example: no such host"
    assert caught.value.id == "addon-image"
    assert 'images: "A=NAME:TAG", registries: "A=localhost:PORT"' in caught.value.fix
    assert (world.calls, world.pulled) == ([], ["x.example/b:1"])
    assert RECORD not in world.server.objects
    # Whether pods have an account there only they can tell.
    world.pulls = {"x.example/a:1": (1, "unexpected status: 401 Unauthorized"), "x.example/b:1": (124, "")}
    step(WantedAddon("registry-creds")).apply(NoWork())
    assert world.calls == ["enable registry-creds"]


def test_addons_of_an_earlier_spec_go_and_users_own_stay(step: Callable[..., MinikubeAddonsStep], world: World) -> None:
    step(WantedAddon("registry-creds"), WantedAddon("olm")).apply(NoWork())
    none = step()
    disused = MinikubeDisusedStep(none.minikube, none.names, ("olm",))
    assert replace(disused, used=("olm", "registry-creds")).check().state is State.READY
    assert (disused.check().state, disused.check().detail) == (State.DRIFTED, "no longer in the spec: registry-creds")
    disused.apply(NoWork())
    assert (disused.check().state, none.check().detail) == (State.READY, "none")
    assert world.on == {"ingress": False, "registry-creds": False, "olm": True}
    replace(none, asked=(WantedAddon("registry-creds"),)).apply(NoWork())
    assert world.server.objects[RECORD]["data"] == {"registry-creds": "command"}
    assert (none.check().state, none.check().detail) == (State.READY, "registry-creds")
    none.disable("registry-creds")
    assert none.check().detail == "none"


@pytest.mark.parametrize(
    ("use", "said"), [(WantedAddon("none"), "no addon 'none'"), (WantedAddon("olm", {"x": "y"}), "no value 'x'")]
)
def test_unknown_addon_is_refused_with_the_available_ones(
    step: Callable[..., MinikubeAddonsStep], use: WantedAddon, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        step(use).apply(NoWork())
    assert "it has: " in caught.value.fix


def test_registry_creds_keeps_known_accounts_and_adds_new_ones(
    step: Callable[..., MinikubeAddonsStep], world: World, tmp_path: Path, names: Names
) -> None:
    file = tmp_path / "config.json"
    auths = {"quay.io": {"auth": base64.b64encode(b"me:canary").decode()}}
    file.write_text(json.dumps({"auths": auths}))
    acr = {"ACR_URL": "a.azurecr.io", "ACR_CLIENT_ID": "c", "ACR_PASSWORD": "p"}
    world.server.objects |= {
        f"{SECRET}acr": secret(acr),
        f"{SECRET}ecr": secret(dict.fromkeys(("AWS_ACCESS_KEY_ID", "aws-region"), registry_creds.UNSET)),
    }
    made = step(WantedAddon("registry-creds"), entries=(Docker(kind="docker", file=file),))
    world.on["registry-creds"] = True
    assert made.check().detail == "registry-creds lacks the present account of dpr"
    made.apply(NoWork())
    assert made.check().state is State.READY
    told = world.settings
    switches = {key: value for key, value in told.items() if key.startswith("enable")}
    assert switches == {
        "enableAWSEcr": "disable",
        "enableGCR": "disable",
        "enableDockerRegistry": "enable",
        "enableACR": "enable",
    }
    assert told["dockerConfigs"] == {"dockerServer": "quay.io", "dockerUser": "me", "dockerPass": "canary"}
    assert told["acrConfigs"] == {"acrURL": "a.azurecr.io", "acrClientID": "c", "acrPassword": "p"}
    assert not [path for path in names.folder.rglob("*") if "canary" in path.read_text(errors="replace")]


def test_accounts_of_registry_creds_are_read_by_cloud(server: ApiServer, names: Names) -> None:
    google = {"gcrurl": base64.b64encode(b"https://gcr.io").decode()}
    unset = {"ACR_URL": base64.b64encode(registry_creds.UNSET.encode()).decode()}
    server.objects[f"{SECRET}gcr"] = {"metadata": {"name": "registry-creds-gcr"}, "data": google}
    server.objects[f"{SECRET}acr"] = {"metadata": {"name": "registry-creds-acr"}, "data": unset}
    found = registry_creds.held(Cluster(names.kubeconfig))
    assert found == {"ecr": {}, "gcr": {"gcrurl": "https://gcr.io"}, "dpr": {}, "acr": {"ACR_URL": "changeme"}}
    assert [cloud for cloud, values in found.items() if values and registry_creds.is_set(values)] == ["gcr"]
