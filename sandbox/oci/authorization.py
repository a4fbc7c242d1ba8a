"""The Authorization header for one registry: Basic, or Bearer tokens fetched per repository and renewed in time.

The registry's challenge says where tokens come from, the request what they must allow. Token authentication of the
Distribution specification; identity tokens are exchanged by its OAuth2 variant.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import unquote
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import parse_http_list

from sandbox.config import json_text
from sandbox.oci.address import Address, of_url
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain, redacted
from sandbox.oci.oci_errors import RegistryError


@dataclass(frozen=True)
class Challenge:
    """A Bearer challenge (Distribution token authentication, RFC 6750 section 3)."""

    realm: str
    service: str | None
    scope: str | None


def parse_challenge(header: str) -> Challenge | None:
    """Return the Bearer challenge in `header`, which may hold several of any scheme; None when there is none."""
    values = _challenges(header).get("bearer", {})
    if not values.get("realm"):
        return None
    return Challenge(values["realm"], values.get("service"), values.get("scope"))


def takes_password(header: str) -> bool:
    """Tell whether `header` offers the Basic scheme (RFC 7617), or says only its name, as some servers do."""
    return "basic" in _challenges(header)


def _challenges(header: str) -> dict[str, dict[str, str]]:
    """Return the parameters of each scheme, by its name in lower case (RFC 9110, 11.6.1)."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for part in parse_http_list(header):
        scheme, _, parameter = part.partition(" ")
        if "=" in scheme:
            parameter = part
        else:
            current = found.setdefault(scheme.lower(), {})
        key, _, value = parameter.partition("=")
        current[key.strip().lower()] = unquote(value.strip())
    return found


Grants = frozenset[tuple[str, str]]
"""Pairs of a resource (`repository:team/app`) and one action on it (`pull`)."""

_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags)/.*")
_ACTIONS = {"GET": ("pull",), "HEAD": ("pull",), "DELETE": ("delete", "pull")}


def needed_grants(method: str, url: str) -> Grants:
    """Return the grants that a request of the Distribution API needs; empty where it concerns no repository."""
    parts = urlsplit(url)
    found = _REPOSITORY.fullmatch(parts.path)
    if found is None:
        return frozenset()
    actions = _ACTIONS.get(method, ("pull", "push"))
    sources = parse_qs(parts.query).get("from", ()) if method == "POST" else ()
    return frozenset(
        [(f"repository:{found[1]}", action) for action in actions]
        + [(f"repository:{source}", "pull") for source in sources]
    )


def read_scope(text: str | None) -> Grants:
    pairs: list[tuple[str, str]] = []
    for scope in (text or "").split():
        resource, colon, actions = scope.rpartition(":")
        if colon:
            pairs += [(resource, action) for action in actions.split(",") if action]
    return frozenset(pairs)


def write_scopes(grants: Grants) -> tuple[str, ...]:
    by_name = itertools.groupby(sorted(grants), key=itemgetter(0))
    return tuple(f"{name}:{','.join(action for _, action in found)}" for name, found in by_name)


LIFETIME, LONGEST = 60.0, 86_400.0
MARGIN = 10.0
CLIENT = "sandbox"

Exchange = Callable[[str, Mapping[str, str], Mapping[str, str] | None], bytes]
"""Asks a token server: URL, headers, and a form to POST or None to GET; gives the body of its answer."""


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    grants: Grants
    obtained: float
    expires: float


class Authorization:
    """The credentials that `address` requires; safe for use by several threads.

    Accounts are looked up when the registry asks for them, so public images need none and a broken keychain does not
    matter to them. `clock` is monotonic.
    """

    def __init__(
        self, address: Address, keychain: Keychain | None, exchange: Exchange, clock: Callable[[], float]
    ) -> None:
        self._address = address
        self._keychain = keychain
        self._exchange = exchange
        self._clock = clock
        self._lock = threading.RLock()
        self._tokens: list[_Token] = []  # the newest first
        self._challenge: Challenge | None = None
        self._basic: str | None = None
        self._account: Credential | None = None
        self._asked = False
        self.problem: CredentialsUnusable | None = None
        self._secrets: set[str] = set()

    def header(self, wanted: Grants) -> str | None:
        """Return the header for a request that needs `wanted`, None as long as the registry has not asked for one."""
        if self._basic:
            return self._basic
        with self._lock:
            token = self._valid(wanted)
            if token is None and self._challenge and wanted:
                token = self._new(self._challenge, wanted)
        return f"Bearer {token.value}" if token else None

    def renewed(self, header: str, wanted: Grants, used: str | None, sent: float) -> str | None:
        """Return the header to try after a 401 with the challenge `header`, if `used` was sent at `sent` (of `clock`).

        None if no other is left. Tokens for the same that were known then have expired as well; a newer one, which
        another thread got meanwhile, has not.
        """
        challenge = parse_challenge(header)
        if challenge is not None:
            needed = wanted | read_scope(challenge.scope)
            with self._lock:
                self._challenge = challenge
                self._tokens = [
                    token
                    for token in self._tokens
                    if f"Bearer {token.value}" != used and (token.obtained >= sent or not needed <= token.grants)
                ]
                return f"Bearer {(self._valid(needed) or self._new(challenge, needed)).value}"
        account = self._credential() if takes_password(header) else None
        if account is None or account.basic == used:
            return None
        self._basic = account.basic
        return self._basic

    def redacted(self, text: str) -> str:
        with self._lock:
            return redacted(text, self._secrets)

    def denied(self, error: RegistryError) -> RegistryError:
        """Return `error`, with the reason why there are no credentials, if that may explain a 401 or 403."""
        if error.status in (401, 403) and self.problem is not None:
            error.details = "\n".join((error.details, str(self.problem)))
            error.fix = self.problem.fix
        elif error.status == 401:
            error.fix = f"sign in: docker login {self._address.netloc}"
        return error

    def _valid(self, wanted: Grants) -> _Token | None:
        now = self._clock()
        self._tokens = [token for token in self._tokens if token.expires > now]
        return next((token for token in self._tokens if wanted <= token.grants), None)

    def _new(self, challenge: Challenge, wanted: Grants) -> _Token:
        token = self._fetched(challenge, wanted)
        self._tokens.insert(0, token)
        self._secrets.add(token.value)
        return token

    def _fetched(self, challenge: Challenge, wanted: Grants) -> _Token:
        self._check(challenge.realm)
        account = self._credential()
        if account and account.bearer:
            return _Token(account.bearer, wanted, self._clock(), math.inf)
        service = [("service", challenge.service)] if challenge.service else []
        begun = self._clock()
        if account and account.identity:
            form = {
                "grant_type": "refresh_token",
                "client_id": CLIENT,
                **dict(service),
                "scope": " ".join(write_scopes(wanted)),
                "refresh_token": account.identity,
            }
            answer = self._exchange(challenge.realm, {}, form)
        else:
            query = urlencode([*service, *(("scope", scope) for scope in write_scopes(wanted))])
            url = f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{query}"
            answer = self._exchange(url, {"Authorization": account.basic} if account and account.basic else {}, None)
        return self._read(challenge.realm, answer, wanted, begun)

    def _read(self, realm: str, answer: bytes, wanted: Grants, begun: float) -> _Token:
        content: Any = None
        with suppress(ValueError):
            content = json_text.document(answer)
        value = (content.get("token") or content.get("access_token")) if isinstance(content, dict) else None
        if not isinstance(value, str) or not value:
            details = f"the answer for a token from {realm.partition('?')[0]} holds none"
            raise RegistryError("a token server gave no token", details=details)
        seconds = content.get("expires_in")
        lifetime = min(seconds, LONGEST) if isinstance(seconds, int | float) and seconds > 0 else LIFETIME
        return _Token(value, wanted, self._clock(), begun + lifetime - min(MARGIN, lifetime / 4))

    def _check(self, realm: str) -> None:
        """Refuse to send an account where others could read it, or to this machine because a distant host says so."""
        there = of_url(realm)
        encrypted = there is not None and there.scheme == "https"
        here = there is not None and there.is_loopback
        same = there is not None and (there.scheme, there.host) == (self._address.scheme, self._address.host)
        if there is None or (here and not self._address.is_loopback) or not (encrypted or here or same):
            raise RegistryError(
                f"{self._address} names a token server that is not safe to use",
                details=f"realm: {realm.partition('?')[0]}",
                fix="tell the registry's owner: a realm must be https, or the registry's own host",
            )

    def _credential(self) -> Credential | None:
        with self._lock:
            if not self._asked and self._keychain is not None:
                try:
                    self._account = self._keychain.find(self._address.netloc)
                except CredentialsUnusable as error:
                    self.problem = error
                if self._account:
                    self._secrets.update(self._account.secrets)
            self._asked = True
            return self._account
