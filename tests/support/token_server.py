"""The token server of a registry, simulated or real: scoped tokens that soon expire; for tests only."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.tls import certificate

Pairs = frozenset[tuple[str, str]]
SERVICE = "simulator, tests"
ISSUER = "tests"
LEEWAY = 60
"""Seconds for which the distribution project's registry takes tokens after their end."""


class Signer:
    """Makes tokens that real registries take: JWTs signed by ES256 (RFC 7518, 3.4), with the certificate in `x5c`.

    Registries take them for `life` seconds, rounded down.
    """

    def __init__(self, life: int) -> None:
        self._life = life
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        self._certificate = certificate(name, self._key, (x509.BasicConstraints(ca=True, path_length=None), True))

    @property
    def bundle(self) -> bytes:
        """What a registry needs as its `rootcertbundle`."""
        return self._certificate.public_bytes(Encoding.PEM)

    def sign(self, number: int, grants: Pairs) -> str:
        """A token with `grants`, as the Distribution specification of token authentication has it."""
        now = math.ceil(time.time())  # seconds are whole in it, and none of its life may be missing
        resources = {name: [action for one, action in sorted(grants) if one == name] for name, _ in grants}
        access = []
        for name, actions in resources.items():
            kind, _, place = name.partition(":")
            access.append({"type": kind, "name": place, "actions": actions})
        header = {
            "typ": "JWT",
            "alg": "ES256",
            "x5c": [base64.b64encode(self._certificate.public_bytes(Encoding.DER)).decode()],
        }
        times = {"exp": now - LEEWAY + self._life, "nbf": now - 1000, "iat": now - 1000}
        claims = {"iss": ISSUER, "sub": "me", "aud": SERVICE, "jti": str(number), "access": access, **times}
        body = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(body.encode(), ec.ECDSA(SHA256())))
        return f"{body}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class TokenServer:
    """Gives tokens to anybody, or with `login` (`user:password`) or `refresh` (an identity token) to who has these.

    A token is good for `uses` requests, and says it is for `seconds`; it is told as `name`. With a `signer` real
    registries take it too. `realm` replaces the URL that challenges name. `given` lists the tokens, with what they
    grant.
    """

    login: str = ""
    refresh: str = ""
    uses: int = 1000
    seconds: int = 300
    name: str = "token"
    realm: str = ""
    body: bytes = b""
    signer: Signer | None = None
    given: dict[str, Pairs] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, method: str, query: str, authorization: str) -> tuple[int, bytes]:
        """The answer to a request for a token: status and body."""
        fields = parse_qs(query)
        scopes = [scope for value in fields.get("scope", ()) for scope in value.split(" ")]
        self.asked.append((method, " ".join(scopes)))
        wanted = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        refused = self.login and authorization != wanted
        if self.refresh:
            refused = method != "POST" or fields.get("refresh_token") != [self.refresh]
        if refused:
            return 401, json.dumps({"details": "incorrect username or password", "echo": authorization}).encode()
        if self.body:
            return 200, self.body
        grants = frozenset(
            (scope.rpartition(":")[0], action) for scope in scopes for action in scope.rpartition(":")[2].split(",")
        )
        number = len(self.given)
        token = self.signer.sign(number, grants) if self.signer else f"token-{number}-canary"
        self.given[token] = grants
        self.left[token] = self.uses
        return 200, json.dumps({self.name: token, "expires_in": self.seconds}).encode()

    def challenge(self, method: str, url: str, authorization: str, realm: str) -> str:
        """The challenge to a request that may not be answered; empty when it may."""
        token = authorization.removeprefix("Bearer ")
        needed = needs(method, url)
        if self.left.get(token, 0) > 0 and needed <= self.given[token]:
            self.left[token] -= 1
            return ""
        names = sorted({name for name, _ in needed})
        scope = " ".join(f"{name}:{','.join(sorted(a for n, a in needed if n == name))}" for name in names)
        return f'Bearer realm="{self.realm or realm}",service="{SERVICE}"' + (f',scope="{scope}"' if scope else "")


def needs(method: str, url: str) -> Pairs:
    """What the distribution project's registry demands for a request."""
    parts = urlsplit(url)
    found = re.fullmatch(r"/v2/(.+?)/(manifests|blobs|tags)/.*", parts.path)
    if not found:
        return frozenset()
    actions = {"GET": ["pull"], "HEAD": ["pull"], "DELETE": ["delete"]}.get(method, ["pull", "push"])
    source = parse_qs(parts.query).get("from", [])
    return frozenset(
        [(f"repository:{found[1]}", action) for action in actions] + [(f"repository:{one}", "pull") for one in source]
    )
