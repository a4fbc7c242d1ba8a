"""Where a sandbox is reached, from routes and the hosts that its cluster names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context, overview
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.edge.route import Host, Port, Route
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import UsageError
from tests.support.tls import DOMAIN, NOW, TlsServer, make_pki


def test_hosts_of_other_domains_and_what_is_no_host_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster says is data: a line break in a host would be a line of its own in the hosts file."""
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 443),), hosts=(Host("api.example"),))
    named = ("a.demo.test", "api.example", "bank.example", "x\n6.6.6.6 y", "xdemo.test", "demo.test")
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: named)
    found = overview.answered_hosts("demo")
    assert found.hosts == ("a.demo.test", "api.example", "bank.example", "xdemo.test", "demo.test")
    assert found.others == ("bank.example", "xdemo.test") and found.address == "127.0.0.1"


def test_hosts_of_tls_by_name_are_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database's client asks the system for its host, as browsers do not."""
    tls = Port(443, "shop/db:5432", host="db.demo.test")
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 443),), ports=(tls,))
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: ("a.demo.test",))
    found = overview.answered_hosts("demo")
    assert (found.hosts, found.others) == (("a.demo.test", "db.demo.test"), ())


def test_host_that_nothing_routes_has_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    route = Route("demo", "demo.test", "node", listen=(("127.0.0.1", 8443),), hosts=(Host("api.example"),))
    monkeypatch.setattr(overview, "_route", lambda home, name: route)
    monkeypatch.setattr(overview, "_hosts", lambda home, route: ("a.demo.test", "api.example", "bank.example"))
    both = ("https://a.demo.test:8443/", "https://api.example:8443/")
    assert overview.host_urls("demo", None, for_others=False) == both
    for host, url in zip(("a.demo.test", "api.example"), both, strict=True):
        assert overview.host_urls("demo", host, for_others=False) == (url,)
    for host in ("bank.example", "xdemo.test"):
        with pytest.raises(UsageError, match=f"does not route {host}") as caught:
            overview.host_urls("demo", host, for_others=False)
        assert caught.value.details == "it routes *.demo.test, api.example"


@pytest.mark.parametrize(
    ("secrets", "rooted", "wanted"),
    [
        ((), (), ("a.test", False)),
        (("a.test",), (), ("b.test", False)),
        (("a.test", "b.test"), ("a.test",), ("a.test", False)),
        (("a.test", "b.test"), ("b.test",), ("a.test", True)),
    ],
)
def test_host_to_try_has_the_sandboxes_certificate_if_one_has(
    secrets: tuple[str, ...], rooted: tuple[str, ...], wanted: tuple[str, bool]
) -> None:
    """A self-signed certificate in a Secret of the user's → curl with the sandbox's root would refuse it."""
    tls = [{"hosts": [host], "secretName": "own"} for host in secrets]
    ingresses: list[dict[str, Any]] = [{"spec": {"tls": [*tls, {"hosts": ["a.test", "b.test"]}]}}, {"spec": None}]
    assert overview.to_try(("a.test", "b.test"), ingresses, rooted.__contains__) == wanted


def test_certificate_is_the_sandboxes_if_it_ends_at_its_root(isolated_home: Path, tmp_path: Path) -> None:
    pki, other = make_pki(), make_pki()
    root = context.home().sandbox("demo").root_certificate
    root.parent.mkdir(parents=True)
    root.write_bytes(pki.root.cert_pem)
    for issuing, wanted in ((pki.issuing, True), (other.issuing, False)):
        with TlsServer(make_leaf(issuing, [DOMAIN], now=NOW), tmp_path) as server:
            spec = ResolvedSpec.of(Spec(name="demo"), registry=5001, https=(server.port,))
            assert overview._is_rooted(spec, DOMAIN) is wanted
    assert overview._is_rooted(spec, DOMAIN)  # where none answers there is nothing to say
