"""Sends requests to an API server by the official client, which knows every way to log in."""

import functools
import logging
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from urllib3 import Retry
from urllib3.exceptions import MaxRetryError
from urllib3.util.ssl_ import create_urllib3_context

from sandbox.sanitize import cause
from sandbox.system.kept_answers import KeptAnswers

CALL_TIMEOUT = 15.0
LONG_TIMEOUT = 600.0  # for commands in containers
OPENING = 3.0  # seconds; a server that works for long on an answer still accepts connections
LOGIN_MARGIN = timedelta(seconds=10)  # how long before their end credentials are renewed
IDLE = 4.0  # seconds; a paused server sends nothing on an open connection, and a new connection wakes it
# For a server that is busy; client-go tries as often.
BUSY = Retry(
    10,
    connect=False,
    read=False,
    redirect=False,
    other=0,
    status_forcelist={429},
    allowed_methods=None,
    raise_on_status=False,
    backoff_factor=0.1,
    backoff_max=1.0,
    respect_retry_after_header=False,
)

# The kubernetes client writes certificates to temporary files that all threads share. A second thread may get the name
# of a file whose content is not written yet, so only one thread at a time loads a kubeconfig.
_loading = threading.Lock()


class Unanswered(OSError):
    """The API server was not reached, or did not answer."""


# The official client only logs why a program did not log in, and then asks without credentials. Without any handler,
# logging would write that to the terminal as it is.
class _LoginErrors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._messages: dict[int, str] = {}  # by thread

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "kube_config":
            message = record.getMessage()
            # At a terminal a program writes its errors there, and the client fails where it wants to read them.
            message = "exec: the program failed" if message.startswith("'NoneType'") else message
            self._messages[threading.get_ident()] = message

    def take(self) -> str:
        return self._messages.pop(threading.get_ident(), "")


_login_errors = _LoginErrors()


class Transport:
    """`login_error`: what the program that logs in said when it last failed, empty if it did not."""

    def __init__(self, client: Any, login_error: str = "") -> None:
        self.login_error = self._first_login_error = login_error
        self.kept = KeptAnswers()
        self.kinds: dict[str, dict[str, Any]] = {}  # by API version and kind, as the API server lists them
        self._client = client
        self._host = client.configuration.host
        self._last_request = 0.0  # monotonic time in seconds

    def read(self, path: str, accept: str) -> tuple[int, bytes]:
        """Return status and content of the answer to a GET request, perhaps a kept one. Raises Unanswered."""
        return self.kept.answer((path, accept), lambda: self.request("GET", path, {"Accept": accept}, None))

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        """Return status and content of the answer; `body` is text, or is sent as JSON. Raises Unanswered."""
        if time.monotonic() - self._last_request > IDLE:
            self._client.rest_client.pool_manager.clear()
        self._last_request = time.monotonic()
        try:
            answer = self._send(method, path, headers, body, timeout=(OPENING, CALL_TIMEOUT))
            return int(answer.status), answer.data
        except Exception as error:  # urllib3's errors, the client's, and those of programs that log in
            raise _unanswered(error) from error

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of an answer as they come, for as long as the server sends. Raises Unanswered."""
        try:
            answer = self._send("GET", path, {}, None, timeout=(CALL_TIMEOUT, None))
            try:
                if answer.status >= 400:
                    raise Unanswered(answer.read(1000).decode(errors="replace"))
                for line in answer:
                    yield line.rstrip(b"\r\n")
            finally:
                answer.close()
        except Exception as error:  # as above
            raise _unanswered(error) from error

    def socket(self, path: str, protocol: str) -> Any:
        """Open a WebSocket (RFC 6455) of one subprotocol. Raises Unanswered."""
        import websocket  # only what runs commands in containers needs it

        tls = self._client.rest_client.pool_manager.connection_pool_kw.get("ssl_context")
        try:
            socket: Any = websocket.create_connection(
                f"ws{self._host.removeprefix('http')}{path}",
                timeout=CALL_TIMEOUT,
                header=self._with_login("GET", path, {}),
                subprotocols=[protocol],
                sslopt={"context": tls} if tls else {},
                http_no_proxy="*" if is_here(self._host) else None,
            )
        except Exception as error:  # as above
            raise Unanswered(cause(error)) from error
        socket.settimeout(LONG_TIMEOUT)
        return socket

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: Any, timeout: Any) -> Any:
        headers = self._with_login(method, path, headers)
        return self._client.call_api(method, self._host + path, headers, body, _request_timeout=timeout).response

    def _with_login(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, str]:
        complete = dict(headers)
        self._client.update_params_for_auth(complete, [], ["BearerToken"], path, method, None)
        self.login_error = _login_errors.take() or self._first_login_error
        return complete


def of(kubeconfig: Path) -> Transport:
    """Return the connection by a kubeconfig, the same until that changes. Raises OSError."""
    with _loading:
        return connect(kubeconfig, kubeconfig.stat().st_mtime_ns)


@contextmanager
def keeping(kubeconfig: Path) -> Iterator[None]:
    """Keep what the API server of a kubeconfig answers for the block, which changes nothing."""
    try:
        transport = of(kubeconfig)
    except OSError:  # there is no cluster, or none that can be used
        yield
        return
    with transport.kept.keeping():
        yield


@functools.lru_cache(maxsize=8)
def connect(kubeconfig: Path, changed: int) -> Transport:
    from kubernetes import client, config  # slow, and many commands do without

    # By default five minutes, within which the client logs in again for every request.
    config.kube_config.EXPIRY_SKEW_PREVENTION_DELAY = LOGIN_MARGIN
    logging.root.addHandler(_login_errors)
    _login_errors.take()  # of a kubeconfig that could not be loaded
    settings = client.Configuration()
    try:
        # The client keeps keys in files until Python ends, and for ever when it is killed; these are deleted at once.
        with tempfile.TemporaryDirectory() as folder:
            load: Any = config.load_kube_config  # it has no types
            load(str(kubeconfig), client_configuration=settings, temp_file_path=folder)
            if is_here(settings.host):
                # A company proxy in the environment must not be used for this machine.
                settings.proxy = None
            settings.retries = BUSY
            api = client.ApiClient(settings)
            pool = api.rest_client.pool_manager.connection_pool_kw
            tls = create_urllib3_context(cert_reqs=pool["cert_reqs"])
            authorities, certificate, key = (pool.pop(name, None) for name in ("ca_certs", "cert_file", "key_file"))
            if authorities:
                tls.load_verify_locations(authorities)
            else:
                tls.load_default_certs()
            if certificate:
                tls.load_cert_chain(certificate, key)
            pool["ssl_context"] = tls
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        raise Unanswered(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # the client takes any YAML for a kubeconfig
        raise Unanswered(f"{kubeconfig} is no kubeconfig: {error}") from error
    return Transport(api, _login_errors.take())


def _unanswered(error: Exception) -> Unanswered:
    from kubernetes.client.exceptions import ApiException  # as above

    reason = error.reason if isinstance(error, MaxRetryError | ApiException) and error.reason else error
    return Unanswered(str(reason))


def is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")
