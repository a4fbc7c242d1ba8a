"""The Corefile: which names it leads to the ingress, and that only a change of it restarts CoreDNS."""

from __future__ import annotations

import re

import pytest

from sandbox.cluster import dns

SERVICE = "ingress.sandbox-system.svc.cluster.local"


def rule(domain: str) -> re.Pattern[str]:
    """The names that the Corefile rewrites; CoreDNS has them with their last dot, in lower case."""
    text = dns.corefile(domain=domain, service=SERVICE)
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
    assert "rewrite" not in dns.corefile(domain="demo.localhost", service=None)


def test_braces_are_balanced_and_the_rule_is_among_the_plugins() -> None:
    text = dns.corefile(domain="demo.localhost", service=SERVICE)
    assert text.count("{") == text.count("}") == 5
    assert text.index("ready") < text.index("rewrite") < text.index("kubernetes cluster.local")


def test_only_another_configuration_restarts_it() -> None:
    one, same, other = (dns.deployment(text)["spec"]["template"] for text in ("a", "a", "b"))
    assert one == same
    assert one != other
