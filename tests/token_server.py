"""The token server of a simulated registry: scoped tokens that expire after so many requests; for tests only."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Pairs = frozenset[tuple[str, str]]


@dataclass
class TokenServer:
    """Gives tokens to anybody, or with `login` (`user:password`) or `refresh` (an identity token) to who has these.

    A token is good for `uses` requests, and says it is for `seconds`; it is told as `name`. `realm` replaces the URL
    that challenges name. `given` lists the tokens, with what they grant.
    """

    login: str = ""
    refresh: str = ""
    uses: int = 1000
    seconds: int = 300
    name: str = "token"
    realm: str = ""
    body: bytes = b""
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
        token = f"token-{len(self.given)}-canary"
        self.given[token] = frozenset(
            (scope.rpartition(":")[0], action) for scope in scopes for action in scope.rpartition(":")[2].split(",")
        )
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
        return f'Bearer realm="{self.realm or realm}",service="simulator, tests"' + (
            f',scope="{scope}"' if scope else ""
        )


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
