"""The clients of one run, one for each registry, so that who reads there and who writes there share one limit."""

from __future__ import annotations

import contextlib

from sandbox.oci import address as addresses
from sandbox.oci.address import Address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.throttle import Throttle


class Clients:
    """Gives clients that live as long as `stack`; a host gets at most `limit` requests at once from all of them.

    Names of this machine that lead to the same port are one host, but keep their own accounts.
    """

    def __init__(self, stack: contextlib.ExitStack, limit: int, keychain: Keychain | None) -> None:
        self._stack = stack
        self._limit = limit
        self._keychain = keychain
        self._clients: dict[Address, Client] = {}
        self._throttles: dict[tuple[str, int], Throttle] = {}

    def at(self, url: str) -> Client:
        """Return the client of the registry at `url` (see Client). Raises UsageError."""
        address = addresses.parse(url)
        if address not in self._clients:
            place = addresses.dial(address)
            throttle = self._throttles.setdefault((place.host, place.port), Throttle(self._limit))
            client = Client(str(address), keychain=self._keychain, throttle=throttle)
            self._clients[address] = self._stack.enter_context(client)
        return self._clients[address]
