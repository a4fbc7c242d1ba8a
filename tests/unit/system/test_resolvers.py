"""Which of the host's nameservers pods get, and for which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.system import resolvers
from sandbox.system.resolvers import WELL_KNOWN, Upstream, resolved, split, upstream
from tests.support.programs import make_program

DNS = """\
Global: 9.9.9.9
Link 2 (eth0): 192.168.1.1 fe80::1
Link 3 (docker0):
Link 7 (tun0): 10.8.0.1 10.8.0.2#dns.corp.example
"""
DOMAIN = """\
Global:
Link 2 (eth0): home
Link 3 (docker0):
Link 7 (tun0): corp.example ~Internal.example.
"""
ROUTE = "Link 2 (eth0): yes\nLink 3 (docker0): no\nLink 7 (tun0): no\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH, and the resolv.conf of a machine with a stub."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(resolvers, "RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(resolvers, "BEHIND_A_STUB", (tmp_path / "none", tmp_path / "behind"))
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "behind").write_text("nameserver 10.0.0.9\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 10.0.0.2\nsearch corp\nnameserver 10.0.0.3 # two\n", ("10.0.0.2", "10.0.0.3")),
        ("".join(f"nameserver 10.0.0.{n}\n" for n in range(1, 5)), ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
        ("nameserver 127.0.0.53\noptions edns0\n", WELL_KNOWN),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 9.9.9.9\n", ("9.9.9.9",)),
        ("# nameserver 9.9.9.9\nnameserver\nnameserver none\n", WELL_KNOWN),
        ("# B\u00fcro\nnameserver 10.0.0.2\n", ("10.0.0.2",)),
    ],
)
def test_nameservers_reachable_from_pods_are_used(folder: Path, text: str, servers: tuple[str, ...]) -> None:
    (folder / "behind").unlink()
    (folder / "resolv.conf").write_bytes(text.encode("latin-1"))
    assert upstream() == Upstream(servers)


def test_a_vpn_s_servers_answer_for_its_domains_only() -> None:
    found = split({"dns": DNS, "domain": DOMAIN, "default-route": ROUTE})
    vpn = ("10.8.0.1", "10.8.0.2")
    assert found == Upstream(
        ("9.9.9.9", "192.168.1.1"), {"home": ("192.168.1.1",), "corp.example": vpn, "internal.example": vpn}
    )
    every = DOMAIN.replace("corp.example", "~. corp.example")
    alone = split({"dns": DNS, "domain": every, "default-route": ROUTE})
    assert alone == Upstream(vpn, {"home": ("192.168.1.1",)}), "it answers for all names"


@pytest.mark.parametrize("said", [{}, {"dns": "Link 2 (eth0): ::1 127.0.0.1", "default-route": ROUTE}])
def test_a_resolver_that_names_none_for_all_names_tells_nothing(said: dict[str, str]) -> None:
    assert split(said) is None


def test_behind_a_stub_the_resolver_is_asked(folder: Path) -> None:
    for name, text in (("dns", DNS), ("domain", DOMAIN), ("default-route", ROUTE)):
        (folder / f"{name}.txt").write_text(text)
    make_program(folder / "resolvectl", f'cat "{folder}/$2.txt"')
    assert upstream().servers == ("9.9.9.9", "192.168.1.1") and "corp.example" in upstream().domains
    make_program(folder / "resolvectl", "echo Failed to connect to bus >&2; exit 1")
    assert resolved() == {} and upstream() == Upstream(("10.0.0.9",))
    make_program(folder / "resolvectl", f"touch {folder}/asked")
    (folder / "resolv.conf").write_text("nameserver 10.0.0.7\n")
    assert upstream() == Upstream(("10.0.0.7",)) and not (folder / "asked").exists()
