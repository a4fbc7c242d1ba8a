"""Services of type LoadBalancer: MetalLB comes with the first that waits for an address, and no sooner."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.addons import load_balancers
from sandbox.components.addons.addon_images import AddonImages
from sandbox.components.addons.addon_manager import AddonManager, service_addresses
from sandbox.components.addons.load_balancers import LoadBalancersStep
from sandbox.components.cluster.kind.command import Kind
from sandbox.engine import ContainerSpec
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import FakeContainer, FakeEngine, NoWork
from tests.support.memory_nodes import provider
from tests.support.programs import make_program

SERVICE = "/api/v1/namespaces/shop/services/db"
POOL = "/apis/metallb.io/v1beta1/namespaces/sandbox-system/ipaddresspools/sandbox"
KIND = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ipaddresspools.metallb.io"


def service(address: str = "", **spec: Any) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
    metadata = {"name": "db", "namespace": "shop"}
    return {"kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer", **spec}, "status": status}


@pytest.fixture
def step(
    engine: FakeEngine, names: Names, server: ApiServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> LoadBalancersStep:
    monkeypatch.setattr(load_balancers, "TIMEOUT", 0)
    server.objects = Controllers()
    server.kinds["/apis/metallb.io/v1beta1"] = {
        "IPAddressPool": ("ipaddresspools", True),
        "L2Advertisement": ("l2advertisements", True),
    }
    server.kinds["/apis/apiextensions.k8s.io/v1"] = {"CustomResourceDefinition": ("customresourcedefinitions", False)}
    engine.networks.pop(names.network, None)
    engine.create_network(names.network, names.labels, halved=True)
    node = ContainerSpec(name=names.node, image="", command=(), labels={}, network=names.network)
    engine.add(FakeContainer(node, "", read_only=False))
    engine.programs["crictl"] = lambda box, argv: (0, "")
    store = Store(names.home.bundle)
    for component in ("metallb-controller", "metallb-speaker"):
        store.folder(recipes()[component]).mkdir(parents=True)
        store.image(recipes()[component]).touch()
    made_by = provider(engine, names, Kind(make_program(tmp_path / "kind", "exit 1"), names.network))
    images = AddonImages(
        engine=engine, sandbox=names, provider=made_by, store=store, registry="r:1", names=("r:1",), others=()
    )
    return LoadBalancersStep(
        AddonManager(images=images, charts=Mock(), uses=(), values={"domain": "demo.test", "https_port": "443"})
    )


def test_sandbox_without_such_services_has_no_metallb(step: LoadBalancersStep, server: ApiServer) -> None:
    server.objects[SERVICE] = service(type="ClusterIP")
    assert (step.check().state, step.check().detail) == (State.READY, "no Service waits for one")
    step.prepare([service(type="ClusterIP")], NoWork())
    assert POOL not in server.objects


def test_first_waiting_service_brings_metallb_with_addresses_of_the_network(
    step: LoadBalancersStep, server: ApiServer, engine: FakeEngine, names: Names
) -> None:
    server.objects[SERVICE] = service()
    assert (step.check().state, step.check().detail) == (State.ABSENT, "shop/db waits for one")
    step.apply(NoWork())
    network = engine.network(names.network)
    assert network
    given = service_addresses(network.subnet, network.lower, chosen=False)
    assert given and server.objects[POOL]["spec"]["addresses"] == [f"{given[1]}-{given[-2]}"]
    assert (step.check().state, step.check().detail) == (State.READY, "waiting for one: shop/db")
    server.objects[SERVICE] = service("172.18.128.1")
    assert (step.check().state, step.check().detail) == (State.READY, "by MetalLB")


def test_metallb_comes_before_helm_waits_for_addresses(step: LoadBalancersStep, server: ApiServer) -> None:
    step.prepare([service()], NoWork())
    assert POOL in server.objects


def test_services_of_another_class_or_metallb_are_left_alone(step: LoadBalancersStep, server: ApiServer) -> None:
    server.objects[SERVICE] = service(loadBalancerClass="example.com/metal")
    assert step.check().detail == "no Service waits for one"
    server.objects[SERVICE] = service()
    server.objects[KIND] = {"kind": "CustomResourceDefinition", "metadata": {"name": "ipaddresspools.metallb.io"}}
    assert (step.check().state, step.check().detail) == (State.READY, "by a MetalLB that `up` did not install")
    step.prepare([service()], NoWork())
    assert POOL not in server.objects


@pytest.mark.parametrize(
    ("network", "lower", "chosen", "given"),
    [
        ("172.18.0.0/16", "172.18.0.0/17", False, "172.18.128.0/18"),
        ("192.168.49.0/24", "", True, "192.168.49.128/26"),
        ("172.18.0.0/16", "", False, None),
        ("10.0.0.0/29", "10.0.0.0/30", False, None),
    ],
)
def test_addresses_are_where_the_engine_gives_none(network: str, lower: str, chosen: bool, given: str | None) -> None:
    found = service_addresses(network, lower, chosen=chosen)
    assert (found and str(found)) == given
