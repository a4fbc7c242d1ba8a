"""One account at one registry, and what knows accounts."""

import base64
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.errors import SandboxError


class CredentialsUnusable(SandboxError):
    id = "credentials"


@dataclass(frozen=True)
class Credential:
    """A name with its password, or an identity token to exchange for access tokens, or an access token.

    Its text form shows none of them.
    """

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """Return the value of an Authorization header with name and password (RFC 7617); None without a name."""
        return f"Basic {self._pair}" if self.username else None

    @property
    def secrets(self) -> tuple[str, ...]:
        pair = self._pair if self.password else ""
        return tuple(filter(None, (self.password, self.identity, self.bearer, pair)))

    @property
    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Keychain(Protocol):
    def find(self, host: str) -> Credential | None:
        """Return the account at `host[:port]`, None when there is none. Raises CredentialsUnusable."""
