"""What the plan and the commands know of a sandbox that is open to the network."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import lan_access
from sandbox.components.edge.lan_access import Access, access, warning
from sandbox.config.schema import ResolvedSpec
from sandbox.names import Names

HERE = "demo.192.168.1.5.nip.io"


def spec(**proxy: object) -> ResolvedSpec:
    return ResolvedSpec.model_validate({"name": "demo", "edge": {"ports": (8443,), **proxy}})


def test_lan_names_are_those_the_ca_may_sign(names: Names) -> None:
    keystore, wanted = Keystore(names.keys), spec(listen="192.168.1.5")
    assert access(wanted, keystore) == Access((HERE,))
    keystore.authority(["demo.test"], now=datetime.now(UTC))
    found = access(wanted, keystore)
    assert found == Access((), (HERE,))
    assert f"no certificate for {HERE}, sandbox certs renew --root makes" in warning(found, wanted)
    keystore.renew(["demo.test", HERE], {}, now=datetime.now(UTC), root=True)
    found = access(wanted, keystore)
    assert found == Access((HERE,))
    assert warning(found, wanted) == "open to this machine's networks: 192.168.1.5, port 8443"
    assert warning(found, spec()) == ""


@pytest.mark.parametrize(
    ("listen", "domains"),
    [("127.0.0.1", ()), ("::1", ()), ("192.168.1.5", (HERE,)), ("2001:db8::5", ())],
)
def test_lan_address_is_in_domain_and_loopback_is_not(listen: str, domains: tuple[str, ...]) -> None:
    assert lan_access.domains("demo", listen) == domains


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])  # noqa: S104
def test_listener_on_all_addresses_has_a_domain_for_each(listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.system.host_network.lan_addresses", lambda: ("192.168.1.5", "10.0.0.7"))
    assert lan_access.is_open(listen)
    assert lan_access.domains("demo", listen) == ("demo.192.168.1.5.nip.io", "demo.10.0.0.7.nip.io")


def test_only_hosts_of_the_domain_have_such_urls() -> None:
    hosts = ("demo.test", "app.demo.test", "other.test", "notdemo.test")
    assert lan_access.urls(hosts, domain="demo.test", aliases=("a.lan", "b.lan"), port=443) == (
        "https://a.lan/",
        "https://app.a.lan/",
        "https://b.lan/",
        "https://app.b.lan/",
    )
    assert lan_access.urls(("x.demo.test",), domain="demo.test", aliases=("a.lan",), port=8443) == (
        "https://x.a.lan:8443/",
    )
