"""The names by which others find a sandbox."""

from __future__ import annotations

import pytest

from sandbox.components.edge import lan_names


@pytest.mark.parametrize(
    ("listen", "domains"),
    [
        ("127.0.0.1", ()),
        ("::1", ()),
        ("192.168.1.5", ("demo.192.168.1.5.nip.io",)),
        ("2001:db8::5", ()),
    ],
)
def test_lan_address_is_in_domain_and_loopback_is_not(listen: str, domains: tuple[str, ...]) -> None:
    assert lan_names.domains("demo", listen) == domains


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])  # noqa: S104
def test_listener_on_all_addresses_has_a_domain_for_each(listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.system.host_network.lan_addresses", lambda: ("192.168.1.5", "10.0.0.7"))
    assert lan_names.is_open(listen)
    assert lan_names.domains("demo", listen) == ("demo.192.168.1.5.nip.io", "demo.10.0.0.7.nip.io")


def test_only_hosts_of_the_domain_have_such_urls() -> None:
    hosts = ("demo.test", "app.demo.test", "other.test", "notdemo.test")
    assert lan_names.urls(hosts, domain="demo.test", aliases=("a.lan", "b.lan"), port=443) == (
        "https://a.lan/",
        "https://app.a.lan/",
        "https://b.lan/",
        "https://app.b.lan/",
    )
    assert lan_names.urls(("x.demo.test",), domain="demo.test", aliases=("a.lan",), port=8443) == (
        "https://x.a.lan:8443/",
    )
