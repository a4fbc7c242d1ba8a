"""Networks of the engine, and who is on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docker.errors import NotFound
from docker.types import IPAMConfig, IPAMPool

from sandbox.engine.base import Door, once, translated
from sandbox.engine.engine_values import Network


class Networks(Door):
    """What can be done with the engine's networks."""

    def network(self, name: str) -> Network | None:
        """Return the network of exactly this name, or None; of several, which the engine allows, the one in use."""
        with translated(f"looking at network {name}"):
            found = self._networks(name)
        return _network(found[0]) if found else None

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        """Further networks of this name: two commands at the same moment may have made one each."""
        with translated(f"looking at network {name}"):
            return tuple(map(_network, self._networks(name)[1:]))

    def labelled_networks(self, label: str) -> tuple[str, ...]:
        """Return the names of all networks that have a label (`key` or `key=value`)."""
        with translated("listing networks"):
            return tuple(sorted(one["Name"] for one in self._client.api.networks(filters={"label": label})))

    @once
    def _networks(self, name: str) -> list[Mapping[str, Any]]:
        """Return what the engine says of every network of this name, those in use first, then the oldest."""
        known = [one["Id"] for one in self._client.api.networks(names=[name]) if one["Name"] == name]
        found: list[Mapping[str, Any]] = [self._client.api.inspect_network(each) for each in known]
        return sorted(found, key=lambda one: (not one.get("Containers"), one["Created"]))

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "") -> None:
        """Make a bridge network, of IPv4 and, with a range for it, of IPv6 too."""
        options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
        more: dict[str, Any] = {}
        if subnet6:
            more = {"enable_ipv6": True, "ipam": IPAMConfig(pool_configs=[IPAMPool(subnet=subnet6)])}
        with translated(f"making network {name}"):
            self._client.api.create_network(
                name, driver="bridge", labels=dict(labels), options=options, check_duplicate=True, **more
            )

    def connect_network(self, name: str, container: str, address: str = "") -> None:
        """Let a container have one more network, also when it starts again, with that IPv4 address if one is given.

        The engine takes an address only for a network whose range was chosen by its maker.
        """
        with translated(f"connecting {container} to network {name}"):
            self._client.api.connect_container_to_network(container, name, ipv4_address=address or None)

    def disconnect_network(self, name: str, container: str) -> None:
        """Take a network from a container."""
        with translated(f"disconnecting {container} from network {name}"):
            self._client.api.disconnect_container_from_network(container, name, force=True)

    def remove_network(self, name: str) -> None:
        """Remove a network by its name or id; gone already is fine."""
        with translated(f"removing network {name}"):
            try:
                self._client.api.remove_network(name)
            except NotFound:
                return


def _network(found: Mapping[str, Any]) -> Network:
    ranges: Sequence[Mapping[str, str]] = found["IPAM"]["Config"] or ()
    first: Mapping[str, str] = next((one for one in ranges if ":" not in one["Subnet"]), {})
    second: Mapping[str, str] = next((one for one in ranges if ":" in one["Subnet"]), {})
    members = frozenset(one["Name"] for one in (found.get("Containers") or {}).values())
    subnets, gateway = (first.get("Subnet", ""), second.get("Subnet", "")), first.get("Gateway", "")
    return Network(
        name=found["Name"],
        subnet=subnets[0],
        labels=found["Labels"] or {},
        members=members,
        gateway=gateway,
        subnet6=subnets[1],
        id=found["Id"],
    )
