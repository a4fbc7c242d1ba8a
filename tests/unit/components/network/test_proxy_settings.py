"""Which proxy containers are told of, and that its password is not shown."""

from __future__ import annotations

import pytest

from sandbox.components.network.proxy_settings import Proxies, faults, of_environment, shown

SECRET = "http://user:secret@proxy.example.com:3128"  # no one's


@pytest.mark.fault(54)
@pytest.mark.parametrize(
    ("environment", "proxies"),
    [
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}, Proxies(http="http://b:2")),
        ({"HTTPS_PROXY": "proxy:3128"}, Proxies(https="http://proxy:3128")),
        ({"NO_PROXY": "x, .y.example,"}, Proxies(direct=("x", ".y.example"))),
        *(({"https_proxy": url}, Proxies()) for url in ("http://127.0.0.1:3128", "http://localhost:3128")),
        *(({"https_proxy": url}, Proxies()) for url in ("http://[::1]:1", "127.0.0.1:3128", "x y", ":::")),
    ],
)
def test_environment_names_the_proxies_that_containers_reach(environment: dict[str, str], proxies: Proxies) -> None:
    """Proxies in both spellings → the lower-case one counts, as for curl; one on a loopback does not."""
    assert of_environment(environment) == proxies


MALFORMED = [
    *("proxy:abc", "proxy:99999", "proxy:0", "http://[::1:80", "http//proxy", "http:/proxy", "http://proxy:3128/#ret"),
    *("http://my proxy:3128", "http://user:sec/ret@proxy:3128", "quic://user:secret@proxy:3128", "http://user:secret@"),
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
@pytest.mark.security(6)
def test_the_password_is_not_shown() -> None:
    """A proxy's URL with a password → shown without it."""
    proxies = Proxies(http=SECRET, https=SECRET)
    assert str(proxies) == "http://proxy.example.com:3128" and "secret" not in repr(proxies)
    assert str(Proxies()) == "none"
    assert [shown(url) for url in ("proxy:3128", SECRET, ":::")] == [
        "proxy",
        "proxy.example.com",
        "an unreadable address",
    ]
