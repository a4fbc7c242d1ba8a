"""Which connections of this machine are open to a port."""

from __future__ import annotations

import socket

import pytest

from sandbox.system import tcp_connections


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connections_to_a_port_are_found(address: str) -> None:
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
