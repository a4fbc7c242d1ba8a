"""The engine's API through the ssh client, as Docker's own client does it: `ssh HOST docker system dial-stdio`.

So everything that ~/.ssh/config says of the host applies: keys, agents, jump hosts. The library's own way needs
paramiko, and would let ssh ask for a password for each connection.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from docker.transport.unixconn import UnixHTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from sandbox.engine.endpoint import Endpoint
from sandbox.errors import MissingTool
from sandbox.system import process

PATIENCE = 15  # seconds until a host counts as unreachable
AT_ONCE = 8  # sshd turns clients away once ten have not yet logged in (sshd_config, MaxStartups)
_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={PATIENCE}")
_DIAL = ("system", "dial-stdio")


def command(place: Endpoint) -> tuple[str, ...]:
    """Return the command whose standard input and output are a connection to the engine's socket."""
    parts = urlsplit(place.url)
    user = ("-l", unquote(parts.username)) if parts.username else ()
    port = ("-p", str(parts.port)) if parts.port else ()
    socket_there = ("--host", f"unix://{parts.path}") if parts.path.strip("/") else ()
    # What follows `--` is no option, whatever the host's name is.
    return ("ssh", *_OPTIONS, *user, *port, "--", parts.hostname or "", "docker", *socket_there, *_DIAL)


class _Connection(HTTPConnection):
    """A connection whose socket is the input and output of an ssh client."""

    def __init__(self, place: Endpoint) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._place = place
        self._client = contextlib.ExitStack()

    def connect(self) -> None:
        nowhere = self._client.enter_context(_nowhere())
        self.sock = self._client.enter_context(process.talking(command(self._place), errors=nowhere))
        self.sock.settimeout(PATIENCE)

    def close(self) -> None:
        super().close()
        self._client.close()


@contextlib.contextmanager
def _nowhere() -> Iterator[IO[bytes]]:
    with Path(os.devnull).open("wb") as file:
        yield file


class _Pool(HTTPConnectionPool):
    def __init__(self, place: Endpoint, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, maxsize=AT_ONCE, block=True)
        self._place = place

    def _new_conn(self) -> _Connection:
        return _Connection(self._place)


class SshAdapter(UnixHTTPAdapter):  # type: ignore[misc]  # the library has no types
    def __init__(self, place: Endpoint, timeout: float) -> None:
        super().__init__("http+unix:///", timeout=timeout)
        self._pool = _Pool(place, timeout)

    def get_connection(self, url: str, proxies: Any = None) -> _Pool:
        return self._pool

    def close(self) -> None:
        self._pool.close()


def unreachable(place: Endpoint, said: str) -> MissingTool:
    """Return why no engine answers there, in ssh's words, or else in those that were `said`."""
    dial = command(place)
    try:
        process.run(dial, timeout=2 * PATIENCE)
    except process.ToolFailed as error:
        said = error.details or said
    return MissingTool(
        f"no Docker Engine answers over SSH on {place.host}",
        details=f"{said} (by {place.origin})",
        fix=f"make this work without a question: {shlex.join(dial)}; or use this machine's: {place.how_to_leave}",
        id="engine-unreachable",
    )
