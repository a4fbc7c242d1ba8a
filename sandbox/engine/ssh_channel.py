"""The engine's API through the ssh client, as Docker's own client does it: `ssh HOST docker system dial-stdio`.

So everything that ~/.ssh/config says of the host applies: keys, agents, jump hosts. It cannot ask for a password, for
there is a connection for each request (docker-cli, cli/connhelper/ssh).
"""

from __future__ import annotations

import shlex
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from sandbox.engine.endpoint import Endpoint
from sandbox.errors import MissingTool
from sandbox.system import process

PATIENCE = 15  # seconds until a host counts as unreachable
AT_ONCE = 8  # sshd turns clients away once ten have not yet logged in (sshd_config, MaxStartups)
_channels = threading.BoundedSemaphore(AT_ONCE)
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


@contextmanager
def opened(place: Endpoint) -> Iterator[socket.socket]:
    """Yield a connection for one request, once few are open. Raises MissingTool, and OSError with ssh's message."""
    with _channels, tempfile.TemporaryFile() as said, process.talking(command(place), errors=said) as connection:
        try:
            yield connection
        except OSError as error:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
            raise ConnectionError(process.last_lines(words) or str(error)) from None


def unreachable(said: str, place: Endpoint) -> MissingTool:
    """Return why no engine answers there, in ssh's words."""
    return MissingTool(
        f"no Docker Engine answers over SSH on {place.host}",
        details=f"{said} (by {place.origin})",
        fix=f"make this work without a question: {shlex.join(command(place))}; or use this machine's: "
        f"{place.how_to_leave}",
        id="engine-unreachable",
    )
