"""Services of type LoadBalancer: MetalLB comes with the first that waits for an address, and no sooner."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.addons import steps
from sandbox.components.addons.addon_manager import service_addresses
from sandbox.components.addons.steps import LoadBalancersStep
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import FakeEngine, NoWork
from tests.unit.components.addons.managers import add_node, addon_manager, put_image

SERVICE = "/api/v1/namespaces/shop/services/db"
POOL = "/apis/metallb.io/v1beta1/namespaces/sandbox-system/ipaddresspools/sandbox"
KIND = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ipaddresspools.metallb.io"


def service(address: str = "", **spec: Any) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": address}]} if address else {}}
    metadata = {"name": "db", "namespace": "shop"}
    return {"kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer", **spec}, "status": status}


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> LoadBalancersStep:
    monkeypatch.setattr(steps, "TIMEOUT", 0)
    server.objects = Controllers()
    server.kinds["/apis/metallb.io/v1beta1"] = {
        "IPAddressPool": ("ipaddresspools", True),
        "L2Advertisement": ("l2advertisements", True),
    }
    engine.networks.pop(names.network, None)
    engine.create_network(names.network, names.labels, halved=True)
    add_node(engine, names)
    engine.programs["crictl"] = lambda box, argv: (0, "")
    for component in ("metallb-controller", "metallb-speaker"):
        put_image(names, component)
    return LoadBalancersStep(addon_manager(engine, names))


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


def test_services_of_another_class_or_metallb_are_left_alone(step: LoadBalancersStep, server: ApiServer) -> None:
    server.objects[SERVICE] = service(loadBalancerClass="example.com/metal")
    assert step.check().detail == "no Service waits for one"
    server.objects[SERVICE] = service()
    server.objects[KIND] = {"kind": "CustomResourceDefinition", "metadata": {"name": "ipaddresspools.metallb.io"}}
    assert (step.check().state, step.check().detail) == (State.READY, "by a MetalLB that `up` did not install")


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
