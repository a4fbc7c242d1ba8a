"""Sends requests to an API server by the official client, which knows every way to log in.

It only logs what a program fails with that a kubeconfig names for logging in; here that is an error, with a fix.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from sandbox.kube.api_transport import CALL_TIMEOUT, Answer, Read, Socket, Unanswered, Unusable, is_here, lines_of

LOGIN_MARGIN = timedelta(seconds=10)  # how long before their end credentials are renewed


class NoLogin(Unusable):
    """A kubeconfig whose program for logging in gives no credentials."""

    fix = "log in as for kubectl, until `kubectl auth whoami` works with the same context"


def connect(kubeconfig: Path) -> Official:
    """Return the connection that a kubeconfig's current context describes. Raises Unusable."""
    from kubernetes import client, config

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
    return Official(api)


@dataclass(frozen=True)
class Official:
    """The official client, used for nothing but requests."""

    client: Any

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        from kubernetes.client.exceptions import ApiException

        url, told = self.client.configuration.host + path, dict(headers)
        try:
            self._log_in(told, path, method, body)
            answer = self.client.call_api(method, url, told, body, _request_timeout=CALL_TIMEOUT)
            data = answer.read()
            return int(answer.status), data if isinstance(data, bytes) else str(data).encode()
        except ApiException as error:
            raise Unanswered(str(error.reason)) from error
        except Exception as error:  # urllib3's errors, and those of programs that log in
            raise _unanswered(error) from error

    def answers(self, reads: Iterable[Read], until: Callable[[], object]) -> Iterator[Answer]:
        for path, accept in reads:
            yield self.request("GET", path, {"Accept": accept}, None)

    def lines(self, path: str) -> Iterator[bytes]:
        url, told = self.client.configuration.host + path, dict[str, str]()
        try:
            self._log_in(told, path)
            answer = self.client.call_api("GET", url, told, None, _request_timeout=(CALL_TIMEOUT, None)).response
            try:
                yield from lines_of(answer.status, answer)
            finally:
                answer.close()
        except Exception as error:  # as above
            raise _unanswered(error) from error

    def socket(self, path: str, protocol: str) -> Socket:
        told = dict[str, str]()
        try:
            self._log_in(told, path)
        except Exception as error:  # as above
            raise _unanswered(error) from error
        tls = self.client.rest_client.pool_manager.connection_pool_kw.get("ssl_context")
        return Socket(self.client.configuration.host + path, protocol, told, tls)

    def _log_in(self, headers: dict[str, str], path: str, method: str = "GET", body: Any = None) -> None:
        """Add the credentials to the headers, renewed if they end soon. Raises NoLogin."""
        with _login():
            self.client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)


def _unanswered(error: Exception) -> Unanswered:
    """Return the error with what it says to do."""
    return Unanswered(str(error), error.fix if isinstance(error, Unusable | Unanswered) else "")


class _Errors(logging.Handler):
    """Collects the errors that this thread logs with the root logger."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root" and record.thread == self.thread:
            said = record.getMessage()
            # At a terminal a program writes its errors there, and the client fails where it wants to read them.
            self.messages.append("exec: the program failed" if said.startswith("'NoneType'") else said)


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


def _take_in(asked: dict[str, Any]) -> None:
    """Set up TLS once in what connections are made with, in place of files that would be read for each of them."""
    from urllib3.util.ssl_ import create_urllib3_context

    tls = create_urllib3_context(cert_reqs=asked["cert_reqs"])
    authorities, certificate, key = (asked.pop(name, None) for name in ("ca_certs", "cert_file", "key_file"))
    if authorities:
        tls.load_verify_locations(authorities)
    else:
        tls.load_default_certs()
    if certificate:
        tls.load_cert_chain(certificate, key)
    asked["ssl_context"] = tls
