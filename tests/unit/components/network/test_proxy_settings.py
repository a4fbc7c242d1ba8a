"""Which proxy containers are told of, and that its password is not shown."""

from __future__ import annotations

import pytest

from sandbox.components.network.proxy_settings import Proxies, faults, of_environment, shown

SECRET = "http://user:secret@proxy.example.com:3128"  # no one's


@pytest.mark.fault(54)
def test_the_lower_case_variable_counts_first() -> None:
    """Proxies in both spellings → the lower-case one counts, as for curl."""
    found = of_environment({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2", "NO_PROXY": "x, .y.example,"})
    assert found == Proxies(http="http://b:2", direct=("x", ".y.example"))
    assert not of_environment({"NO_PROXY": "x"})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3128", "http://localhost:3128", "http://[::1]:1", "127.0.0.1:3128", "x y", ":::"]
)
def test_proxy_unreachable_from_containers_is_omitted(url: str) -> None:
    assert not of_environment({"https_proxy": url})


def test_proxy_without_a_scheme_is_one_by_http() -> None:
    assert of_environment({"HTTPS_PROXY": "proxy:3128"}) == Proxies(https="http://proxy:3128")
    assert [shown(url) for url in ("proxy:3128", "http://a:b@proxy:1", ":::")] == [
        "proxy",
        "proxy",
        "an unreadable address",
    ]


MALFORMED = [
    "proxy:abc",
    "proxy:99999",
    "http://[::1:80",
    "http://user:sec/ret@proxy:3128",
    "http//proxy",
    "http:/proxy",
    "http://proxy:3128/#ret",
    "http://my proxy:3128",
    "quic://user:secret@proxy:3128",
    "http://user:secret@",
    "proxy:0",
]


@pytest.mark.fault(54)
@pytest.mark.security(6)
@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_proxy_is_named_by_its_variable(url: str) -> None:
    """A value that is no proxy's URL → the variable without its password; it does not count as none."""
    for name in ("HTTPS_PROXY", "http_proxy"):
        (said,) = faults({name: url, "NO_PROXY": "a b"})
        assert said == f"{name} names no proxy: write http://HOST:PORT"
    assert not of_environment({"HTTPS_PROXY": url})


def test_only_a_variable_that_counts_is_named() -> None:
    sound = {"https_proxy": "proxy:3128", "HTTPS_PROXY": "proxy:abc", "HTTP_PROXY": "http://127.0.0.1:1"}
    assert [*faults(sound)] == [] and [*faults({"ALL_PROXY": "x y"})] == []
    both = faults({"ALL_PROXY": "socks5h://proxy", "HTTPS_PROXY": "socks5h://proxy"}, ("https", "all"))
    assert [said.split()[0] for said in both] == ["HTTPS_PROXY"]


@pytest.mark.fault(54)
def test_no_proxy_has_internal_and_user_exceptions() -> None:
    """A proxy and NO_PROXY → pods, Services and loopback are spared as well."""
    proxies = Proxies(https=SECRET, direct=("corp", "localhost"))
    assert proxies.variables(["localhost", ".svc"]) == {"HTTPS_PROXY": SECRET, "NO_PROXY": "localhost,.svc,corp"}
    assert Proxies(direct=("corp",)).variables([".svc"]) == {}


@pytest.mark.fault(54)
@pytest.mark.security(6)
def test_the_password_is_not_shown() -> None:
    """A proxy's URL with a password → shown without it."""
    proxies = Proxies(http=SECRET, https=SECRET)
    assert str(proxies) == "http://proxy.example.com:3128" and "secret" not in repr(proxies)
    assert str(Proxies()) == "none"
