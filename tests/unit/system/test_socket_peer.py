"""Who is at the other end of a loopback connection: processes of this user and of another, on real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox.system import socket_peer

OTHER = 65534
CONNECT = "exec 3<>/dev/tcp/127.0.0.1/$0; echo hello >&3; read -r answer <&3"


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_our_own_connection_is_ours(family: int, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server, socket.socket(family) as client:
        client.connect(server.getsockname()[:2])
        end, name = server.accept()
        with end:
            assert socket_peer.is_ours(os.getuid(), name, end.getsockname())
            another = (address, name[1] ^ 1, *name[2:])
            assert not socket_peer.is_ours(os.getuid(), another, end.getsockname())


def test_what_was_sent_by_a_process_that_has_gone_is_nobody_s() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"PUT")
        end, name = server.accept()
        with end:
            assert not socket_peer.is_ours(os.getuid(), name, end.getsockname())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.security(17)
def test_another_user_s_connection_is_not_ours() -> None:
    """Another user connects to a port of ours → it is told from our own connections and from root's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        for uid, ours in ((OTHER, False), (0, True)):
            with _as_user(uid, ["bash", "-c", CONNECT, str(server.getsockname()[1])]) as process:
                end, name = server.accept()
                with end:
                    assert socket_peer.is_ours(1000, name, end.getsockname()) is ours
                    assert socket_peer.is_ours(OTHER, name, end.getsockname())
                process.wait(20)


def test_without_the_kernel_s_table_everybody_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_peer, "TABLES", {4: Path("/no/table")})
    assert socket_peer.is_ours(1, ("127.0.0.1", 1), ("127.0.0.1", 2))


def _as_user(uid: int, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, user=uid, group=uid, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL)
