"""Sends requests to an API server by the official client, which knows every way to log in.

It only logs what a program fails with that a kubeconfig names for logging in; here that is an error, with a fix.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from urllib3.util.ssl_ import create_urllib3_context

from sandbox.sanitize import cause

CALL_TIMEOUT = 15.0
LONG_TIMEOUT = 600.0  # for commands in containers
OPENING = 3.0  # seconds; a server that works for long on an answer still accepts connections
LOGIN_MARGIN = timedelta(seconds=10)  # how long before their end credentials are renewed
IDLE = 4.0  # seconds; a paused server sends nothing on an open connection, and a new connection wakes it


class Unusable(ValueError):
    """A kubeconfig that cannot be used, with the reason and perhaps what to do."""

    fix = ""


class NoLogin(Unusable):
    """A kubeconfig whose program for logging in gives no credentials."""

    fix = "log in as for kubectl, until `kubectl auth whoami` works with the same context"


class Unanswered(OSError):
    """The API server was not reached, or did not answer; with what to do, where that is known."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


Read = tuple[str, str]
"""The path of a GET request, and the content type that it accepts."""

Answer = tuple[int, bytes]
"""Status and content."""


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
    from kubernetes import client, config  # slow, and many commands do without

    # By default five minutes, within which the client logs in again for every request.
    config.kube_config.EXPIRY_SKEW_PREVENTION_DELAY = LOGIN_MARGIN
    settings = client.Configuration()
    try:
        # The client keeps keys in files until Python ends, and for ever when it is killed; these are deleted at once.
        with tempfile.TemporaryDirectory() as folder:
            load: Any = config.load_kube_config  # it has no types
            with _login():
                load(str(kubeconfig), client_configuration=settings, temp_file_path=folder)
            if is_here(settings.host):
                # A company proxy in the environment must not be used for this machine.
                settings.proxy = None
            settings.retries = False
            api = client.ApiClient(settings)
            _take_in(api.rest_client.pool_manager.connection_pool_kw)
    except NoLogin:
        raise
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise Unusable(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # the client takes any YAML for a kubeconfig
        raise Unusable(f"{kubeconfig} is no kubeconfig: {error}") from error
    return Transport(api)


@dataclass
class Transport:
    """A connection to an API server by the official client; `last_request` is monotonic time in seconds."""

    client: Any
    last_request: float = 0.0

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        """Return status and content of the answer; `body` is text, or is sent as JSON. Raises Unanswered."""
        from kubernetes.client.exceptions import ApiException

        if time.monotonic() - self.last_request > IDLE:
            self.client.rest_client.pool_manager.clear()
        self.last_request = time.monotonic()
        url, headers = self.client.configuration.host + path, dict(headers)
        try:
            self._log_in(headers, path, method, body)
            answer = self.client.call_api(method, url, headers, body, _request_timeout=(OPENING, CALL_TIMEOUT))
            data = answer.read()
            return int(answer.status), data if isinstance(data, bytes) else str(data).encode()
        except ApiException as error:
            raise Unanswered(str(error.reason)) from error
        except Exception as error:  # urllib3's errors, and those of programs that log in
            raise _unanswered(error) from error

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of an answer as they come, for as long as the server sends. Raises Unanswered."""
        url, headers = self.client.configuration.host + path, dict[str, str]()
        try:
            self._log_in(headers, path)
            answer = self.client.call_api("GET", url, headers, None, _request_timeout=(CALL_TIMEOUT, None)).response
            try:
                yield from lines_of(answer.status, answer)
            finally:
                answer.close()
        except Exception as error:  # as above
            raise _unanswered(error) from error

    def socket(self, path: str, protocol: str) -> Socket:
        """Open a WebSocket (RFC 6455) of one subprotocol. Raises Unanswered."""
        headers = dict[str, str]()
        try:
            self._log_in(headers, path)
        except Exception as error:  # as above
            raise _unanswered(error) from error
        tls = self.client.rest_client.pool_manager.connection_pool_kw.get("ssl_context")
        return Socket(self.client.configuration.host + path, protocol, headers, tls)

    def _log_in(self, headers: dict[str, str], path: str, method: str = "GET", body: Any = None) -> None:
        """Add the credentials to the headers, renewed if they end soon. Raises NoLogin."""
        with _login():
            self.client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)


def _unanswered(error: Exception) -> Unanswered:
    return Unanswered(str(error), error.fix if isinstance(error, Unusable | Unanswered) else "")


class _Errors(logging.Handler):
    """Collects the errors that this thread logs with the root logger."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root" and record.thread == self.thread:
            message = record.getMessage()
            # At a terminal a program writes its errors there, and the client fails where it wants to read them.
            self.messages.append("exec: the program failed" if message.startswith("'NoneType'") else message)


@contextmanager
def _login() -> Iterator[None]:
    """Raise NoLogin where the official client, in the block, only logs that a program did not log in."""
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(errors)
    if errors.messages:
        raise NoLogin("; ".join(errors.messages))


def _take_in(settings: dict[str, Any]) -> None:
    """Set up TLS once in what connections are made with, in place of files that would be read for each of them."""
    tls = create_urllib3_context(cert_reqs=settings["cert_reqs"])
    authorities, certificate, key = (settings.pop(name, None) for name in ("ca_certs", "cert_file", "key_file"))
    if authorities:
        tls.load_verify_locations(authorities)
    else:
        tls.load_default_certs()
    if certificate:
        tls.load_cert_chain(certificate, key)
    settings["ssl_context"] = tls


def lines_of(status: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer as its pieces come. Raises Unanswered for an error status."""
    if status >= 400:
        raise Unanswered(next(iter(pieces), b"")[:1000].decode(errors="replace"))
    line = b""
    for piece in pieces:
        *whole, line = (line + piece).split(b"\n")
        yield from (piece.rstrip(b"\r") for piece in whole)
    if line:
        yield line


def is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")
