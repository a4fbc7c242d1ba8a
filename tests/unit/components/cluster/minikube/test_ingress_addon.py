"""minikube's ingress addon: the certificate and the settings that it has before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.components.cluster.minikube.command import Minikube, Profile
from sandbox.components.cluster.minikube.ingress_addon import CERTIFICATE, MinikubeIngressStep
from sandbox.errors import UsageError
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

SETTINGS = "/api/v1/namespaces/ingress-nginx/configmaps/ingress-nginx-controller"


@dataclass
class World:
    """A profile that is there or not, and what minikube was called for."""

    certificate: str | None = ""
    on: bool = False
    calls: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Playing(Minikube):
    world: World

    def inspect(self) -> Profile | None:
        certificate = self.world.certificate
        return None if certificate is None else Profile("docker", "containerd", "v1.36.3", certificate)

    def give_ingress(self, certificate: str) -> None:
        assert not self.world.certificate, "minikube would ask again"
        self.world.certificate = certificate

    def addons(self) -> dict[str, bool]:
        return {"ingress": self.world.on}

    def enable(self, addon: str, *, options: tuple[str, ...] = ()) -> None:
        self.world.calls.append(addon)


@pytest.fixture
def step(names: Names, server: ApiServer) -> Callable[[World], MinikubeIngressStep]:
    return lambda world: MinikubeIngressStep(Playing(Path("/minikube"), "p", world), names, ())


def test_ingress_gets_our_certificate_and_trusts_the_edge(
    step: Callable[[World], MinikubeIngressStep], server: ApiServer
) -> None:
    world = World()
    made = step(world)
    assert made.check().state is State.ABSENT
    made.apply(NoWork())
    assert (world.certificate, world.calls) == ("sandbox-system/default-tls", [])
    assert server.objects[SETTINGS]["data"] == {"use-proxy-protocol": "true"}
    assert (made.check().state, made.check().detail) == (State.READY, CERTIFICATE)
    server.objects[SETTINGS]["data"] = {"hsts": "false"}
    assert made.check().state is State.DRIFTED
    made.apply(NoWork())
    assert made.check().state is State.READY


def test_running_ingress_restarts_with_the_certificate(step: Callable[[World], MinikubeIngressStep]) -> None:
    world = World(on=True)
    step(world).apply(NoWork())
    assert world.calls == ["ingress"]


def test_certificate_chosen_by_another_user_stays(
    step: Callable[[World], MinikubeIngressStep], server: ApiServer
) -> None:
    made = step(World("theirs/tls", on=True))
    assert (made.check().state, made.check().detail) == (State.DRIFTED, "theirs/tls")
    with pytest.raises(UsageError, match="has another certificate: theirs/tls") as caught:
        made.apply(NoWork())
    assert "minikube addons configure ingress --profile p" in caught.value.fix
    assert SETTINGS not in server.objects
