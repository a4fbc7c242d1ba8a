"""Ports of this machine, against real sockets on loopback; lines of its hosts file, of which others keep theirs."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.system import host_network, hosts_file
from tests.support.ports import free_port


@pytest.mark.parametrize(
    ("server", "wanted", "free"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "0.0.0.0", False),  # noqa: S104
        ("127.0.0.1", "127.0.0.2", True),
        ("0.0.0.0", "127.0.0.1", False),  # noqa: S104
        ("::", "127.0.0.1", False),
        ("::1", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
    ],
)
def test_port_is_free_until_a_program_listens(
    monkeypatch: pytest.MonkeyPatch, server: str, wanted: str, free: bool
) -> None:
    """Also for a user who may open no port, as others than root may not those below 1024."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with closing(socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET)) as taken:
        taken.bind((server, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert host_network.is_free(wanted, port) is free
        monkeypatch.setattr(socket.socket, "bind", refuse)
        assert host_network.is_free(wanted, port) is free
    assert host_network.is_free(wanted, port)


def test_the_holder_is_this_very_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        holder = host_network.holder(port)
        assert holder and holder.pid == os.getpid() and "python" in holder.command
        assert f"{holder.name} (pid {holder.pid}): " in str(holder)
        assert host_network.holder(free_port()) is None
        with socket.create_connection(listener.getsockname()) as client:
            assert host_network.holder(client.getsockname()[1]) is None, "it is only connected to"
        monkeypatch.setattr(psutil, "Process", gone)
        assert host_network.holder(port) is None, "it ended meanwhile"


def test_the_next_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_network, "is_free", lambda address, port: port not in {8444, 8445, 65535, 1024})
    assert [host_network.next_free("127.0.0.1", port) for port in (443, 5001, 65534)] == [8446, 5002, 1025]


def test_lan_addresses_have_private_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces = {"wan0": "8.8.4.4", "wlan0": "192.168.177.5", "docker0": "172.17.0.1", "br-home": "10.1.2.3"}
    interfaces |= {"usb0": "169.254.3.4", "eth1": "10.9.9.9"}
    rows = {name: [SimpleNamespace(family=socket.AF_INET, address=address)] for name, address in interfaces.items()}
    rows["wlan0"].append(SimpleNamespace(family=socket.AF_INET6, address="fe80::1%wlan0"))
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: rows)
    states = {name: SimpleNamespace(isup=name != "eth1") for name in interfaces}
    monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
    found = [address for address in host_network.lan_addresses() if address in interfaces.values()]
    assert found == ["10.1.2.3", "192.168.177.5", "8.8.4.4"]


OTHERS = "127.0.0.1 localhost\n# a comment\n::1 ip6-localhost  # sandbox: another, with more words\n"
TEXTS = st.lists(st.sampled_from([*OTHERS.splitlines(), "", "10.0.0.1 x # sandbox:", "\t"])).map("\n".join)


def test_hosts_that_are_gone_lose_their_lines() -> None:
    both = hosts_file.placed(hosts_file.placed("", "one", ["a", "b"], "127.0.0.1"), "two", ["c"], "127.0.0.1")
    fewer = hosts_file.placed(both, "one", ["b"], "127.0.0.1")
    assert fewer == "127.0.0.1 c  # sandbox: two\n127.0.0.1 b  # sandbox: one\n"
    assert hosts_file.removed(both, "one") == "127.0.0.1 c  # sandbox: two\n"
    assert hosts_file.removed(both, None) == ""


@given(TEXTS, st.sampled_from(["\n", ""]))
def test_lines_of_others_stay_as_they_are(text: str, end: str) -> None:
    before = text + end
    with_ours = hosts_file.placed(before, "demo", ["a.test"], "127.0.0.1")
    assert hosts_file.removed(with_ours, "demo") in (before, before + "\n")
    assert with_ours.startswith(before)
