"""Ports of this machine, against real sockets on loopback."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.system import host_ports
from tests.support.ports import free_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_a_port_is_free_until_somebody_listens(listener: socket.socket) -> None:
    assert host_ports.is_free("127.0.0.1", free_port())
    assert not host_ports.is_free("127.0.0.1", port_of(listener))
    assert not host_ports.is_free("0.0.0.0", port_of(listener))  # noqa: S104


def test_a_port_of_another_address_is_free(listener: socket.socket) -> None:
    assert host_ports.is_free("127.0.0.2", port_of(listener))


def test_a_port_that_was_left_a_moment_ago_is_free(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        accepted.close()
    listener.close()
    port = free_port()
    assert host_ports.is_free("127.0.0.1", port)


def test_the_holder_is_this_very_process(listener: socket.socket) -> None:
    found = host_ports.holder(port_of(listener))
    assert found
    assert found.pid == os.getpid()
    assert "python" in found.command
    assert f"{found.name} (pid {found.pid}): " in str(found)
    assert host_ports.holder(free_port()) is None


def test_where_there_is_no_proc_lsof_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "lsof"
    program.write_text("#!/bin/sh\nprintf 'p77\\ncnginx\\nf6\\np78\\ncother\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(host_ports, "PROC", tmp_path / "none")
    assert host_ports.holder(443) == host_ports.Holder(77, "nginx")


def test_without_lsof_nobody_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host_ports, "PROC", tmp_path / "none")
    assert host_ports.holder(443) is None


def test_a_port_that_is_only_connected_to_has_no_holder(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        assert host_ports.holder(client.getsockname()[1]) is None


@pytest.mark.parametrize(
    ("port", "taken", "found"),
    [
        (443, set(), 8444),
        (8443, set(), 8444),
        (8443, {8444, 8445}, 8446),
        (5001, set(), 5002),
        (65535, set(), 1024),
        (65534, {65535, 1024}, 1025),
    ],
)
def test_the_next_free_port(monkeypatch: pytest.MonkeyPatch, port: int, taken: set[int], found: int) -> None:
    monkeypatch.setattr(host_ports, "is_free", lambda address, candidate: candidate not in taken)
    assert host_ports.next_free("127.0.0.1", port) == found


def test_an_address_without_its_family_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    assert not host_ports.is_supported("::1")
    assert host_ports.is_supported("127.0.0.1")
