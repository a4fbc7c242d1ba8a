"""The nodes' script for Services, run with a kubectl that tells what it was asked, and the step that places it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.edge import host_ports, service_unit
from sandbox.components.edge.service_unit import ServicesStep, addresses, unit
from sandbox.components.node_unit import ADMIN
from sandbox.engine import ContainerSpec
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork
from tests.support.programs import make_program

KUBECTL = """#!/bin/bash
case "$1 $2" in
  "get services") asked=$* && asked=${asked#*\\}} && sed "s/^=/${asked%%|*}|/" "$STATE/rows" ;;
  "get endpointslices") cat "$STATE/ready" ;;
  "patch service") printf '%s\\0%s' "$3" "${!##--patch=}" > "$(mktemp "$STATE/asked.XXXXXX")" ;;
  "create "*) cat > "$(mktemp "$STATE/event.XXXXXX")" ;;
esac
"""
IP = """#!/bin/bash
case "$*" in
  *"route show"*) echo "172.18.0.0/16 dev eth0 proto kernel scope link src 172.18.0.2" ;;
  *"address show"*) cat "$STATE/addresses" ;;
  *) echo "$*" >> "$STATE/changed" ;;
esac
"""
FIRST, SECOND = "172.18.128.1", "172.18.128.2"
NODE = "demo-control-plane"


@dataclass
class Service:
    """A Service, and what the script has noted of it."""

    name: str
    type: str = "LoadBalancer"
    klass: str = ""
    policy: str = "Cluster"
    families: str = '["IPv4"]'
    has: str = ""
    selector: str = '{"app":"db"}'
    ports: str = "main,TCP,5432,5432 "
    copy: str = ""
    given: str = ""
    node: str = ""
    to: str = ""
    wanted: str = ""

    def row(self) -> str:
        fields = (self.type, self.klass, self.policy, self.families, self.has, self.selector, self.ports, self.copy)
        return "|".join(("shop", self.name, f"uid-{self.name}", *fields, self.given, self.node, self.to, self.wanted))


def held(name: str, address: str, **more: Any) -> Service:
    """A Service that the script gave an address."""
    return Service(name, **{"has": address, "given": address, "node": NODE, **more})


@dataclass
class Ran:
    """What the script asked for: patches by Service, events, and changes of the node's addresses."""

    patches: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    changed: Sequence[str] = ()

    def given(self) -> dict[str, str]:
        """The addresses in the patched statuses, with their nodes."""
        found = {name: one for name, one in self.patches.items() if isinstance(one, dict)}
        return {
            name: f"{one['status']['loadBalancer']['ingress'][0]['ip']} {one['metadata']['annotations'][NODE_KEY]}"
            for name, one in found.items()
            if one["status"].get("loadBalancer")
        }


NODE_KEY = "sandbox.dev/node"


@pytest.fixture
def once(tmp_path: Path) -> Any:
    """Let the script look once at these Services."""

    def run(*services: Service, there: Sequence[str] = (), nodes: int = 1, ready: str = "", size: int = 30) -> Ran:
        made = unit("172.18.0.0/16", next(IPv4Network("172.18.128.0/18").subnets(new_prefix=size)), NODE, nodes)
        settings, state = tmp_path / "services.conf", tmp_path / "state"
        settings.write_bytes(made.data[service_unit.SETTINGS])
        state.mkdir()
        (state / "rows").write_text("".join(f"={one.row()}\n" for one in services))
        (state / "ready").write_text(ready)
        shown = [f"2: eth0    inet {one} scope global eth0\\" for one in ("172.18.0.2/16", *there)]
        (state / "addresses").write_text("\n".join(shown) + "\n")
        for name, text in (("kubectl", KUBECTL), ("ip", IP), ("busybox", "#!/bin/sh\n")):
            make_program(tmp_path / name, text)
        body, watching, _ = made.script.partition("\n{\n  changes /api/v1/services")
        assert watching
        text = body.replace(str(service_unit.SETTINGS), str(settings)) + "\ndeclare -A told=()\nreconcile\n"
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE": str(state)}
        text = f"HOSTNAME={NODE}\n{text}"
        done = subprocess.run(["bash"], input=text, text=True, capture_output=True, check=True, env=environment)
        assert done.stderr == ""
        asked = [path.read_text().split("\0") for path in state.glob("asked.*")]
        events = [json.loads(path.read_text()) for path in state.glob("event.*")]
        changed = (state / "changed").read_text().splitlines() if (state / "changed").exists() else []
        return Ran({name: json.loads(patch) for name, patch in asked}, events, changed)

    return run


def test_services_get_the_lowest_addresses_and_the_node_has_them(once: Any) -> None:
    ran = once(Service("one"), Service("plain", type="ClusterIP"), Service("two", klass=service_unit.CLASS))
    assert ran.given() == {"one": f"{FIRST} {NODE}", "two": f"{SECOND} {NODE}"}
    assert sorted(ran.changed) == [f"address add {one}/32 dev eth0" for one in (FIRST, SECOND)]
    assert ran.events == []


def test_addresses_stay_and_a_restarted_node_has_them_again(once: Any) -> None:
    ran = once(held("one", SECOND))
    assert ran.patches == {} and ran.changed == [f"address add {SECOND}/32 dev eth0"]


def test_a_lost_status_gets_the_same_address_again(once: Any) -> None:
    assert once(Service("one", given=SECOND, node=NODE)).given() == {"one": f"{SECOND} {NODE}"}


def test_addresses_of_services_that_are_gone_are_free_again(once: Any) -> None:
    ran = once(Service("new"), there=[f"{FIRST}/32", f"{SECOND}/32"])
    assert ran.given() == {"new": f"{FIRST} {NODE}"}
    assert ran.changed == [f"address delete {SECOND}/32 dev eth0"]


def test_a_service_of_another_type_loses_its_address(once: Any) -> None:
    ran = once(held("one", FIRST, type="ClusterIP"), there=[f"{FIRST}/32"])
    assert ran.patches["one"]["status"] == {"loadBalancer": None}
    assert ran.changed == [f"address delete {FIRST}/32 dev eth0"]


def test_a_wanted_address_is_given(once: Any) -> None:
    ran = once(Service("first"), Service("one", wanted=FIRST))
    assert ran.given() == {"first": f"{SECOND} {NODE}", "one": f"{FIRST} {NODE}"}


@pytest.mark.parametrize(
    ("service", "reason", "said"),
    [
        (Service("one", wanted="10.0.0.1"), "AddressRefused", f"begin with {FIRST}"),
        (Service("one", wanted='"} x'), "AddressRefused", f"begin with {FIRST}"),
        (Service("one", wanted=SECOND), "AddressRefused", "belongs to the Service shop/other"),
        (Service("one", klass="metallb"), "OtherClass", service_unit.CLASS),
        (Service("one", families='["IPv6"]'), "NoAddresses", "IPv4 only"),
    ],
)
def test_an_impossible_wish_is_refused_in_an_event(once: Any, service: Service, reason: str, said: str) -> None:
    ran = once(held("other", SECOND), service, there=[f"{SECOND}/32"])
    assert ran.patches == {} and ran.changed == []
    (event,) = ran.events
    assert (event["reason"], event["involvedObject"]["name"]) == (reason, "one")
    assert said in event["message"]


def test_used_up_addresses_are_an_event(once: Any) -> None:
    ran = once(held("one", FIRST), held("two", SECOND), Service("three"))
    assert ran.patches == {} and "in use" in ran.events[0]["message"]


def test_an_address_of_another_controller_is_left_alone(once: Any) -> None:
    ran = once(Service("one", has="10.0.0.9"), held("two", FIRST, has="10.0.0.8"), there=[f"{FIRST}/32"])
    assert ran.patches["two"]["status"] == {} and "one" not in ran.patches
    assert ran.changed == [f"address delete {FIRST}/32 dev eth0"]


@pytest.mark.parametrize(("before", "after"), [("", "worker2"), ("worker", "worker"), ("worker9", "worker2")])
def test_a_local_service_is_answered_where_its_pods_are(once: Any, before: str, after: str) -> None:
    service = held("one", FIRST, policy="Local", node=before) if before else Service("one", policy="Local")
    ran = once(service, nodes=3, ready="worker2\nworker\n")
    assert ran.given() == ({} if before == after else {"one": f"{FIRST} {after}"})
    assert ran.changed == []


COPY = {"type": "NodePort", "copy": "true", "ports": "port,TCP,5432,5432 ", "to": "shop/db:main"}


def test_a_copy_selects_what_the_service_does_now(once: Any) -> None:
    service = Service("db", type="ClusterIP", selector='{"app":"new"}', ports="other,TCP,1,1 main,TCP,5433,pg ")
    ran = once(service, Service("sandbox-port-1", **COPY))
    assert [(one["path"], one["value"]) for one in ran.patches["sandbox-port-1"]] == [
        ("/spec/selector", {"app": "new"}),
        ("/spec/ports/0/port", 5433),
        ("/spec/ports/0/targetPort", "pg"),
    ]


def test_a_copy_of_a_service_that_is_gone_selects_nothing(once: Any) -> None:
    ran = once(Service("sandbox-port-1", **COPY))
    assert ran.patches["sandbox-port-1"][0]["value"] == dict(host_ports.NO_POD)


@pytest.mark.security(20)
def test_lines_in_an_annotation_are_no_other_service(once: Any) -> None:
    """A Service whose annotation has the rows of others in it → these are not changed by the rights of the node."""
    victim = Service("db", type="ClusterIP")
    others = (Service("db", selector='{"app":"evil"}', **COPY), victim, Service("cache"))
    forged = "\n".join(one.row() for one in others)
    assert once(victim, Service("own", type="ClusterIP", to=f"x\n{forged}")).patches == {}


def test_a_copy_that_is_in_step_stays(once: Any) -> None:
    assert once(Service("db", type="ClusterIP"), Service("sandbox-port-1", **COPY)).patches == {}


def test_range_for_services_is_outside_that_of_containers() -> None:
    assert str(addresses("172.18.0.0/16", "172.18.0.0/17", chosen=False)) == "172.18.128.0/18"
    assert str(addresses("192.168.49.0/24", "", chosen=True)) == "192.168.49.128/26"
    assert addresses("172.18.0.0/16", "", chosen=False) is None
    assert addresses("10.0.0.0/30", "10.0.0.0/31", chosen=False) is None


def test_step_places_the_unit_on_every_node(engine: FakeEngine, names: Names, server: ApiServer) -> None:
    node = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    admin = {ADMIN: b"clusters: [{name: demo, cluster: {server: 'https://demo:6443'}}]\n"}
    engine.add(FakeContainer(node, engine.images[UPSTREAM["node"]], read_only=False, files=admin))
    engine.programs["systemctl"] = lambda box, argv: (0, "")
    step = ServicesStep(engine, kind_provider.nodes(engine, names), names)
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "none, on the network of earlier releases")
    engine.networks[NETWORK].lower = engine.networks[NETWORK].subnet.replace("/16", "/17")
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().detail.endswith(".191.254")
    assert b"CAP_NET_ADMIN" in engine.boxes[names.node].files[node_unit_file(step)]


def node_unit_file(step: ServicesStep) -> Any:
    """The unit's file on a node."""
    return next(path for path in step._unit.files() if path.suffix == ".service")
