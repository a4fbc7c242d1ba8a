"""The registry in another user's cluster: its account kept, its disk asked for, its port the cluster's choice."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sandbox.components.cluster.existing.tenant import Place
from sandbox.components.registry.in_cluster_step import InnerRegistryStep, name_on_nodes
from sandbox.errors import SandboxError
from sandbox.names import LABEL, Names
from sandbox.step import State
from tests.support.api_server import Admit, ApiServer, Refused
from tests.support.controllers import Controllers
from tests.support.fakes import NoWork

SPACE = "/api/v1/namespaces/mine"
DEPLOYMENT = "/apis/apps/v1/namespaces/mine/deployments/sandbox-registry"
CLAIM = f"{SPACE}/persistentvolumeclaims/sandbox-registry"


@pytest.fixture
def server(server: ApiServer) -> ApiServer:
    server.objects = Controllers()
    server.kinds["/api/v1"]["PersistentVolumeClaim"] = ("persistentvolumeclaims", True)
    server.admit = admitting("standard")
    return server


@pytest.fixture
def step(server: ApiServer, names: Names) -> InnerRegistryStep:
    return InnerRegistryStep(Place(names, "mine"), "registry:1")


def admitting(storage_class: str | None) -> Admit:
    """What a cluster adds to objects: a port to Services, and to claims its default class, if it has one.

    With None it lets no claim in.
    """

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] == "Service":
            manifest["spec"]["ports"][0]["nodePort"] = 30500
        if manifest["kind"] == "PersistentVolumeClaim":
            if storage_class is None:
                raise Refused(403, "exceeded quota")
            manifest["spec"] |= {"storageClassName": storage_class} if storage_class else {}
        return manifest

    return admit


def volume(server: ApiServer) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = server.objects[DEPLOYMENT]["spec"]["template"]["spec"]["volumes"]
    return next(one for one in volumes if one["name"] == "data")


def words(server: ApiServer) -> tuple[str, str]:
    """The password of the account, and the one that pods are given for the port on nodes."""
    password = base64.b64decode(server.objects[f"{SPACE}/secrets/sandbox-registry"]["data"]["password"]).decode()
    config = base64.b64decode(server.objects[f"{SPACE}/secrets/sandbox-pull"]["data"][".dockerconfigjson"])
    auth = json.loads(config)["auths"]["127.0.0.1:30500"]["auth"]
    return password, base64.b64decode(auth).decode().removeprefix("sandbox:")


def test_it_comes_with_a_disk_and_a_password_that_pods_are_given(step: InnerRegistryStep, server: ApiServer) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "127.0.0.1:30500 on nodes")
    assert name_on_nodes(step.place) == "127.0.0.1:30500"
    password, given = words(server)
    assert password == given and len(password) > 20
    assert CLAIM in server.objects and "persistentVolumeClaim" in volume(server)
    assert {one["metadata"]["labels"][LABEL] for one in server.objects.values()} == {"demo"}
    assert not step.undo(), "it goes with its namespace's objects"


def test_a_second_time_the_password_stays(step: InnerRegistryStep, server: ApiServer) -> None:
    step.apply(NoWork())
    before = words(server)
    step.apply(NoWork())
    assert words(server) == before


@pytest.mark.parametrize("why", ["no class", "no right"])
def test_without_a_disk_its_data_is_in_its_pod_and_that_is_said(
    step: InnerRegistryStep, server: ApiServer, why: str
) -> None:
    server.admit = admitting("" if why == "no class" else None)
    step.apply(NoWork())
    assert CLAIM not in server.objects and "emptyDir" in volume(server)
    assert step.check().state is State.READY
    assert "its data is gone with its pod" in step.check().detail


def test_a_trial_of_a_claim_makes_none(step: InnerRegistryStep, server: ApiServer) -> None:
    step.apply(NoWork())
    del server.objects[CLAIM]
    step.check()
    assert CLAIM not in server.objects


def test_a_pull_secret_of_another_password_is_put_right(step: InnerRegistryStep, server: ApiServer) -> None:
    step.apply(NoWork())
    server.objects[f"{SPACE}/secrets/sandbox-pull"]["data"] = {".dockerconfigjson": "e30="}
    assert (step.check().state, "sandbox-pull" in step.check().detail) == (State.DRIFTED, True)
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert len(set(words(server))) == 1


def test_registry_of_another_user_is_refused_and_unchanged(step: InnerRegistryStep, server: ApiServer) -> None:
    theirs = {"kind": "Service", "metadata": {"name": "sandbox-registry", "labels": {LABEL: "other"}}}
    server.objects[f"{SPACE}/services/sandbox-registry"] = dict(theirs)
    assert step.check().state is State.ABSENT
    with pytest.raises(SandboxError, match="the sandbox 'other'"):
        step.apply(NoWork())
    assert server.objects[f"{SPACE}/services/sandbox-registry"] == theirs
    with pytest.raises(SandboxError, match="there is no registry in mine"):
        name_on_nodes(step.place)
