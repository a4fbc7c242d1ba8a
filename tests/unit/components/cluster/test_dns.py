"""The Corefile: which names it leads to the ingress, and that only a change of it restarts CoreDNS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.components.cluster import dns

SERVICE = "ingress.sandbox-system.svc.cluster.local"


def corefile(domain: str, **more: Mapping[str, Any]) -> str:
    return dns.corefile(domain=domain, service=SERVICE, nameservers=["9.9.9.9", "1.1.1.1"], **more)


def rule(domain: str) -> re.Pattern[str]:
    """The names that the Corefile rewrites; CoreDNS has them with their last dot, in lower case."""
    text = corefile(domain)
    (found,) = re.findall(
        rf"^    rewrite stop name regex (\S+) {re.escape(SERVICE)}\. answer auto$", text, re.MULTILINE
    )
    return re.compile(found)


@pytest.mark.parametrize("name", ["a-b.demo.localhost.", "x.a-b.demo.localhost.", "x.y.a-b.demo.localhost."])
def test_the_domain_and_every_name_below_it_lead_to_the_ingress(name: str) -> None:
    assert rule("a-b.demo.localhost").search(name)


@pytest.mark.parametrize(
    "name",
    [
        "demo.localhost.",
        "xa-b.demo.localhost.",
        "a-b.demoxlocalhost.",
        "a-b.demo.localhost.default.svc.cluster.local.",
        f"{SERVICE}.",
    ],
)
def test_no_other_name_does(name: str) -> None:
    assert not rule("a-b.demo.localhost").search(name)


def test_without_an_ingress_nothing_is_rewritten() -> None:
    assert "rewrite" not in dns.corefile(domain="demo.localhost", service=None, nameservers=["9.9.9.9"])


def test_braces_are_balanced_and_the_rule_is_among_the_plugins() -> None:
    text = corefile("demo.localhost")
    assert text.count("{") == text.count("}") == 5
    assert "hosts {" not in text
    assert text.index("ready") < text.index("rewrite") < text.index("kubernetes cluster.local")


def test_only_another_configuration_restarts_it() -> None:
    one, same, other = (dns.deployment(text, None)["spec"]["template"] for text in ("a", "a", "b"))
    assert one == same
    assert one != other


def test_a_server_tells_which_configuration_it_goes_by() -> None:
    texts = [corefile("demo.localhost"), corefile("demo.localhost"), corefile("other.localhost")]
    marks = [re.findall(r"^    chaos (\w{16})$", text, re.MULTILINE) for text in texts]
    assert [len(one) for one in marks] == [1, 1, 1]
    assert marks[0] == marks[1] != marks[2]
    assert dns.ask("10.0.0.1", texts[0])[-1] == marks[0][0]
    assert dns.ask("10.0.0.1", "of somebody else")[-1] == ""


def test_names_of_the_outside_are_asked_of_the_nameservers_in_their_order() -> None:
    zones = {"vpn.corp": ("10.8.0.1",), "corp": ("10.0.0.2", "10.0.0.3")}
    text = corefile("demo.localhost", zones=zones)
    forwards = re.findall(r"^    forward (\S+) (.*) \{\n       max_concurrent 1000\n       policy (\w+)$", text, re.M)
    assert forwards == [
        ("corp", "10.0.0.2 10.0.0.3", "sequential"),
        ("vpn.corp", "10.8.0.1", "sequential"),
        (".", "9.9.9.9 1.1.1.1", "sequential"),
    ]
    assert dns.nameservers(text) == ("10.0.0.2", "10.0.0.3", "10.8.0.1", "9.9.9.9", "1.1.1.1")
    assert dns.nameservers("") == ()


def test_single_names_have_their_addresses_before_anything_is_asked() -> None:
    text = corefile("demo.localhost", hosts={"b.corp": "10.1.1.2", "a.corp": "10.1.1.1"})
    lines = [line.strip() for line in text[text.index("hosts {") :].splitlines()[:6]]
    assert lines == ["hosts {", "10.1.1.1 a.corp", "10.1.1.2 b.corp", "ttl 30", "fallthrough", "}"]
    assert text.index("rewrite") < text.index("hosts {") < text.index("forward")


def test_one_pod_beside_the_api_server_or_two_that_ask_for_it() -> None:
    one, several = dns.deployment("a", None)["spec"], dns.deployment("a", None, alone=False)["spec"]
    assert (one["replicas"], several["replicas"]) == (1, 2)
    assert "env" in one["template"]["spec"]["containers"][0]
    assert "env" not in several["template"]["spec"]["containers"][0]
    assert one["template"]["metadata"] != several["template"]["metadata"]
