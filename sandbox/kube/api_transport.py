"""Sends requests to an API server: by plain HTTPS on this machine, else by the official client.

The official client knows every way to log in, but takes longer to load than all requests of a `status` together.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml

from sandbox.config import yaml_text
from sandbox.kube.local_server import LocalServer
from sandbox.sanitize import cause
from sandbox.system import files

CALL_TIMEOUT = 15.0
LONG_TIMEOUT = 600.0  # for commands in containers

# The keys of a kubeconfig that are understood here.
_CLUSTER = {"server", "certificate-authority", "certificate-authority-data", "extensions"}
_USER = {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"}
# The second is that of a port that is none, and of a token that no header can hold.
_UNSENT = (OSError, ValueError)


class Unusable(ValueError):
    """A kubeconfig that cannot be used, with the reason and perhaps what to do."""

    fix = ""


class Unanswered(OSError):
    """The API server was not reached, or did not answer; with what to do, where that is known."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


Read = tuple[str, str]
"""The path of a GET request, and the content type that it accepts."""

Answer = tuple[int, bytes]
"""Status and content."""


class Transport(Protocol):
    """A connection to an API server."""

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        """Return status and content of the answer; `body` is text, or is sent as JSON. Raises Unanswered."""

    def answers(self, reads: Iterable[Read], until: Callable[[], object]) -> Iterator[Answer]:
        """Yield the answers to requests that change nothing, in their order. Raises Unanswered.

        What can be sent at once is sent before `until` returns, and read after it.
        """

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of an answer as they come, for as long as the server sends. Raises Unanswered."""

    def socket(self, path: str, protocol: str) -> Socket:
        """Open a WebSocket (RFC 6455) of one subprotocol. Raises Unanswered."""


class Socket:
    """A WebSocket that carries bytes; every method raises Unanswered."""

    def __init__(self, url: str, protocol: str, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        import websocket  # only what runs commands in containers needs it

        try:
            self._socket: Any = websocket.create_connection(
                f"ws{url.removeprefix('http')}",
                timeout=CALL_TIMEOUT,
                header=[f"{name}: {value}" for name, value in headers.items()],
                subprotocols=[protocol],
                sslopt={"context": tls} if tls else {},
                http_no_proxy="*" if is_here(url) else None,
            )
        except (websocket.WebSocketException, OSError) as error:
            raise Unanswered(cause(error)) from error
        self._socket.settimeout(LONG_TIMEOUT)
        self._failures = (websocket.WebSocketException, OSError)

    def send(self, data: bytes) -> None:
        """Send one message."""
        try:
            self._socket.send_binary(data)
        except self._failures as error:
            raise Unanswered(cause(error)) from error

    def receive(self) -> bytes:
        """Return the next message; an empty one at the end."""
        try:
            data = self._socket.recv()
        except self._failures as error:
            raise Unanswered(cause(error)) from error
        return data if isinstance(data, bytes) else str(data).encode()

    def close(self) -> None:
        """Close it, whatever the server does."""
        self._socket.shutdown()


def connect(kubeconfig: Path) -> Transport:
    """Return the connection that a kubeconfig's current context describes. Raises Unusable."""
    try:
        content = yaml_text.document(files.read_regular(kubeconfig))
        plain = _plain(content, kubeconfig.parent)
    except (yaml.YAMLError, OSError, files.NotAFile) as error:
        raise Unusable(str(error)) from error
    if plain:
        return plain
    from sandbox.kube import official_client

    return official_client.connect(kubeconfig)


@dataclass(frozen=True)
class Plain:
    """An API server of this machine with a client certificate, a token, or neither."""

    url: str
    server: LocalServer
    headers: Mapping[str, str]

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        try:
            return self.server.request(method, path, {**self.headers, **headers}, text.encode() if text else None)
        except _UNSENT as error:
            raise Unanswered(cause(error)) from error

    def answers(self, reads: Iterable[Read], until: Callable[[], object]) -> Iterator[Answer]:
        asked = ((path, {**self.headers, "Accept": accept}) for path, accept in reads)
        try:
            yield from self.server.ask_all(asked, until)
        except _UNSENT as error:
            raise Unanswered(cause(error)) from error

    def lines(self, path: str) -> Iterator[bytes]:
        try:
            with self.server.stream(path, self.headers) as (status, pieces):
                yield from lines_of(status, pieces)
        except _UNSENT as error:
            raise Unanswered(cause(error)) from error

    def socket(self, path: str, protocol: str) -> Socket:
        return Socket(self.url + path, protocol, self.headers, self.server.tls)


def lines_of(status: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer as its pieces come. Raises Unanswered for an error status."""
    if status >= 400:
        raise Unanswered(next(iter(pieces), b"")[:1000].decode(errors="replace"))
    line = b""
    for piece in pieces:
        *whole, line = (line + piece).split(b"\n")
        yield from (one.rstrip(b"\r") for one in whole)
    if line:
        yield line


def _plain(content: Any, folder: Path) -> Plain | None:
    """Return None when the kubeconfig needs more than is understood here, or names another machine."""
    try:
        contexts, clusters, users = (
            {one["name"]: one[kind] for one in content[f"{kind}s"]} for kind in ("context", "cluster", "user")
        )
        context = contexts[content["current-context"]]
        cluster, user = clusters[context["cluster"]], users[context["user"]]
        if not (_CLUSTER.issuperset(cluster) and _USER.issuperset(user) and is_here(cluster["server"])):
            return None
        tls = _tls(cluster, user, folder) if cluster["server"].startswith("https:") else None
    except (AttributeError, KeyError, TypeError, ValueError, OSError):
        return None
    url, token = cluster["server"].rstrip("/"), user.get("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Plain(url, LocalServer(url, tls, CALL_TIMEOUT), headers)


def _tls(cluster: Mapping[str, str], user: Mapping[str, str], folder: Path) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode()) if authority else ssl.create_default_context()
    certificate, key = (_content(user, f"client-{part}", folder) for part in ("certificate", "key"))
    if certificate and key:
        # ssl reads a certificate from files only; this one is readable for its owner alone, and deleted at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _content(entry: Mapping[str, str], name: str, folder: Path) -> bytes | None:
    """Return the content of an entry or of the file that it names, relative to the kubeconfig's folder."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return files.read_regular(folder / entry[name]) if name in entry else None


def is_here(url: str) -> bool:
    """Tell whether a URL is of this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")
