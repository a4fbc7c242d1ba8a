"""What an entry of the spec comes to: accounts by registry, and until when they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from sandbox.oci.credential import Credential

SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Login:
    """Names with passwords by registry, whose hosts may hold `*`; without `expires` they hold until they are changed.

    Its text form shows no password.
    """

    accounts: Mapping[str, Credential]
    issued: datetime
    expires: datetime | None = None

    def find(self, host: str) -> Credential | None:
        """The account for `host[:port]`."""
        return next((account for pattern, account in self.accounts.items() if matches(pattern, host)), None)


@dataclass(frozen=True)
class Validity:
    """From when to when an account holds."""

    issued: datetime
    expires: datetime | None = field(default=None)

    @property
    def renewal(self) -> datetime | None:
        """When to renew it: two thirds of its life are over, and there is time to mend what keeps us from it."""
        return None if self.expires is None else self.issued + (self.expires - self.issued) * 2 / 3

    def is_due(self, now: datetime) -> bool:
        """Whether it should have been renewed; one of the future tells that the clock was set back since."""
        return self.renewal is not None and (now >= self.renewal or now < self.issued - SKEW)


def matches(pattern: str, host: str) -> bool:
    """Whether a registry's host is meant: `*` stands for within one label, as the kubelet has it (KEP-2133)."""
    wanted, given = pattern.split("."), host.split(".")
    return len(wanted) == len(given) and all(map(fnmatchcase, given, wanted))
