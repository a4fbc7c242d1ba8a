"""The Authorization header for one registry: Basic, or Bearer tokens (Distribution specification, with OAuth2)."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import unquote
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from urllib.request import parse_http_list

from sandbox.config import json_text
from sandbox.oci.address import Address, of_url
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain
from sandbox.oci.oci_errors import RegistryError

DEFAULT_LIFETIME, LONGEST_LIFETIME = 60.0, 86_400.0  # seconds
MARGIN = 10.0

Grants = frozenset[str]
"""Scopes, such as `repository:team/app:pull,push`."""

Exchange = Callable[[str, str | None, Mapping[str, str] | None], bytes]
"""Asks a token server: URL, Authorization, and a form to POST or None to GET; returns the body of the response."""


def grants(repository: str, *actions: str) -> Grants:
    return frozenset({f"repository:{repository}:{','.join(actions)}"})


def challenges(header: str) -> dict[str, dict[str, str]]:
    """Return the parameters of each scheme in a WWW-Authenticate, by its name in lower case (RFC 9110, 11.6.1)."""
    schemes: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for part in parse_http_list(header):
        scheme, _, parameter = part.partition(" ")
        if "=" in scheme:
            parameter = part
        else:
            parameters = schemes.setdefault(scheme.lower(), {})
        key, _, value = parameter.partition("=")
        parameters[key.strip().lower()] = unquote(value.strip())
    return schemes


class Authorization:
    """The credentials that a registry requires; a broken keychain does not matter to public images."""

    def __init__(self, address: Address, keychain: Keychain | None, exchange: Exchange) -> None:
        self._address, self._keychain, self._exchange = address, keychain, exchange
        self._lock = threading.Lock()
        self._tokens: dict[Grants, tuple[str, float]] = {}  # headers, and when they expire
        self._challenge: dict[str, str] = {}
        self._basic: str | None = None
        self._problem: CredentialsUnusable | None = None
        self._secrets: set[str] = set()

    def header(self, wanted: Grants) -> str | None:
        with self._lock:
            token = self._valid(wanted)
            if token is None and self._challenge and wanted:
                token = self._fetch(wanted)
            return token or self._basic

    def renewed(self, header: str, wanted: Grants, used: str | None) -> str | None:
        """Return the header to try after `used` got a 401 with the challenge `header`; None if there is no other."""
        offered = challenges(header)
        with self._lock:
            if offered.get("bearer", {}).get("realm"):
                self._challenge = offered["bearer"]
                wanted |= {*self._challenge.get("scope", "").split()}
                if any(token == used for token, _ in self._tokens.values()):  # no other thread has renewed it
                    self._tokens.clear()
                other: str | None = self._valid(wanted) or self._fetch(wanted)
            else:
                other = self._basic = self._account.basic if "basic" in offered else None
        return other if other != used else None

    def redacted(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):  # so that no part of a longer one remains
            text = text.replace(secret, "***")
        return text

    def explained(self, error: RegistryError) -> RegistryError:
        if error.status in (401, 403) and self._problem is not None:
            error.details = "\n".join((error.details, str(self._problem)))
            error.fix = self._problem.fix
        elif error.status == 401:
            error.fix = f"sign in: docker login {self._address.netloc}"
        return error

    def _valid(self, wanted: Grants) -> str | None:
        now, tokens = time.monotonic(), self._tokens.items()
        return next((token for grants, (token, expires) in tokens if wanted <= grants and expires > now), None)

    def _fetch(self, wanted: Grants) -> str:
        realm, service = self._challenge["realm"], self._challenge.get("service")
        self._require_safe(realm)
        account, begun, scopes = self._account, time.monotonic(), sorted(wanted)
        if account.bearer:
            value, lifetime = account.bearer, math.inf
        else:
            named = {"service": service} if service else {}
            if account.identity:
                form = {"grant_type": "refresh_token", "client_id": "sandbox", **named, "scope": " ".join(scopes)}
                body = self._exchange(realm, None, {**form, "refresh_token": account.identity})
            else:
                query = urlencode({**named, "scope": scopes}, doseq=True)
                body = self._exchange(f"{realm}{'&' if '?' in realm else '?'}{query}", account.basic, None)
            value, lifetime = _read_token(realm, body)
        self._secrets.add(value)
        self._tokens[wanted] = f"Bearer {value}", begun + lifetime - min(MARGIN, lifetime / 4)
        return f"Bearer {value}"

    def _require_safe(self, realm: str) -> None:
        """Refuse to send an account where others could read it, or to this machine because a distant host says so."""
        if server := of_url(realm):
            is_same = (server.scheme, server.host) == (self._address.scheme, self._address.host)
            if self._address.is_loopback if server.is_loopback else server.scheme == "https" or is_same:
                return
        raise RegistryError(
            f"{self._address} names a token server that is not safe to use",
            details=f"realm: {realm.partition('?')[0]}",
            fix="tell the registry's owner: a realm must be https, or the registry's own host",
        )

    @cached_property
    def _account(self) -> Credential:
        account = None
        try:
            account = self._keychain.find(self._address.netloc) if self._keychain else None
        except CredentialsUnusable as error:
            self._problem = error
        account = account or Credential()
        self._secrets.update(account.secrets)
        return account


def _read_token(realm: str, body: bytes) -> tuple[str, float]:
    content: Any = None
    with suppress(ValueError):
        content = json_text.document(body)
    value = (content.get("token") or content.get("access_token")) if isinstance(content, dict) else None
    if not isinstance(value, str) or not value:
        raise RegistryError(
            "a token server gave no token", details=f"the answer for a token from {realm.partition('?')[0]} holds none"
        )
    seconds = content.get("expires_in")
    valid = isinstance(seconds, int | float) and seconds > 0
    return value, min(seconds, LONGEST_LIFETIME) if valid else DEFAULT_LIFETIME
