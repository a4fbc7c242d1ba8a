"""The Authorization header for one registry: Basic, or Bearer tokens (Distribution specification, with OAuth2)."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import unquote
from typing import Any
from urllib.parse import urlencode
from urllib.request import parse_http_list

from sandbox.config import json_text
from sandbox.oci.address import Address, of_url
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain
from sandbox.oci.oci_errors import RegistryError

DEFAULT_LIFETIME, LONGEST_LIFETIME = 60.0, 86_400.0  # seconds
MARGIN = 10.0
CLIENT = "sandbox"

Grants = frozenset[tuple[str, str]]
"""Pairs of a resource (`repository:team/app`) and one action on it (`pull`)."""

Exchange = Callable[[str, str | None, Mapping[str, str] | None], bytes]
"""Asks a token server: URL, Authorization, and a form to POST or None to GET; returns the body of the response."""


def grants(repository: str, *actions: str) -> Grants:
    return frozenset((f"repository:{repository}", action) for action in actions)


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


def read_scope(text: str) -> Grants:
    pairs: list[tuple[str, str]] = []
    for scope in text.split():
        resource, _, actions = scope.rpartition(":")
        pairs += [(resource, action) for action in actions.split(",") if resource and action]
    return frozenset(pairs)


def write_scopes(grants: Grants) -> list[str]:
    by_resource = itertools.groupby(sorted(grants), key=lambda pair: pair[0])
    return [f"{resource}:{','.join(action for _, action in pairs)}" for resource, pairs in by_resource]


@dataclass(frozen=True)
class _Token:
    header: str = field(repr=False)
    expires: float


class Authorization:
    """The credentials that a registry requires; a broken keychain does not matter to public images."""

    def __init__(
        self, address: Address, keychain: Keychain | None, exchange: Exchange, clock: Callable[[], float]
    ) -> None:
        self._address, self._keychain, self._exchange, self._clock = address, keychain, exchange, clock
        self._lock = threading.Lock()
        self._tokens: dict[Grants, _Token] = {}
        self._challenge: dict[str, str] = {}
        self._basic: str | None = None
        self._account: Credential | None = None
        self._problem: CredentialsUnusable | None = None
        self._secrets: set[str] = set()

    def header(self, wanted: Grants) -> str | None:
        with self._lock:
            token = self._valid(wanted)
            if token is None and self._challenge and wanted:
                token = self._fetch(wanted)
            return token.header if token else self._basic

    def renewed(self, header: str, wanted: Grants, used: str | None) -> str | None:
        """Return the header to try after `used` got a 401 with the challenge `header`; None if there is no other."""
        offered = challenges(header)
        with self._lock:
            if offered.get("bearer", {}).get("realm"):
                self._challenge = offered["bearer"]
                wanted |= read_scope(self._challenge.get("scope", ""))
                if any(token.header == used for token in self._tokens.values()):  # no other thread has renewed it
                    self._tokens.clear()
                other: str | None = (self._valid(wanted) or self._fetch(wanted)).header
            else:
                account = self._credential() if "basic" in offered else None
                other = self._basic = account.basic if account else None
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

    def _valid(self, wanted: Grants) -> _Token | None:
        now = self._clock()
        return next((token for grants, token in self._tokens.items() if wanted <= grants and token.expires > now), None)

    def _fetch(self, wanted: Grants) -> _Token:
        realm, service = self._challenge["realm"], self._challenge.get("service")
        self._require_safe(realm)
        account, begun, scopes = self._credential() or Credential(), self._clock(), write_scopes(wanted)
        if account.bearer:
            value, lifetime = account.bearer, math.inf
        else:
            named = {"service": service} if service else {}
            if account.identity:
                form = {"grant_type": "refresh_token", "client_id": CLIENT, **named, "scope": " ".join(scopes)}
                body = self._exchange(realm, None, {**form, "refresh_token": account.identity})
            else:
                query = urlencode({**named, "scope": scopes}, doseq=True)
                body = self._exchange(f"{realm}{'&' if '?' in realm else '?'}{query}", account.basic, None)
            value, lifetime = _read_token(realm, body)
        self._secrets.add(value)
        self._tokens[wanted] = token = _Token(f"Bearer {value}", begun + lifetime - min(MARGIN, lifetime / 4))
        return token

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

    def _credential(self) -> Credential | None:
        keychain, self._keychain = self._keychain, None  # it is asked once
        if keychain is not None:
            try:
                self._account = keychain.find(self._address.netloc)
            except CredentialsUnusable as error:
                self._problem = error
            if self._account:
                self._secrets.update(self._account.secrets)
        return self._account


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
