"""Which connections of this machine are open to a port."""

from __future__ import annotations

import socket

import pytest

from sandbox.system import tcp_connections
from tests.support.ports import free_port


@pytest.mark.parametrize("by", ["kernel", "tables"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connections_to_a_port_are_found(address: str, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "tables":
        monkeypatch.setattr(tcp_connections, "_asked", refused)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert not tcp_connections.to_port(port)
        with socket.create_connection((address, port)), server.accept()[0]:
            one = tcp_connections.to_port(port)
            assert len(one) == 1
            with socket.create_connection((address, port)), server.accept()[0]:
                both = tcp_connections.to_port(port)
                assert len(both) == 2
                assert one < both
    assert not tcp_connections.to_port(port)


def test_many_connections_take_several_answers() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        port = server.getsockname()[1]
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
        assert len(tcp_connections.to_port(port)) == 400
        for one in held:
            one.close()


def test_kernel_refusal_is_an_error() -> None:
    with pytest.raises(OSError, match=r"\[Errno"):
        list(tcp_connections._asked(250, free_port()))


def refused(family: int, port: int) -> None:
    raise OSError("no such protocol")
