"""Real registries of tests, until they answer."""

from __future__ import annotations

from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError


def silence(client: Client) -> str | None:
    """Return why the client's registry does not answer yet, or None; for `wait_until`."""
    try:
        client.ping()
    except RegistryError as error:
        return str(error)
    return None
