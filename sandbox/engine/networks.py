"""The engine's networks, the containers on them, and its volumes."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from docker.errors import APIError, NotFound

from sandbox.engine.base import Door, translated
from sandbox.engine.engine_values import Network

_TRIES = 3
# Podman's own API, in the first version that all releases since 4.0 support.
_LIBPOD = "/v4.0.0/libpod"
# The option with a bridge's name; without it libnetwork names it by the network's id (drivers/bridge/bridge_linux.go).
_BRIDGE_NAME = "com.docker.network.bridge.name"


class Networks(Door):
    def network(self, name: str) -> Network | None:
        """Return the network of exactly this name; of several, which the engine allows, one that is used."""
        networks = self._networks(name)
        return networks[0] if networks else None

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        """Return further networks of this name: of two commands at the same moment, each may have created one."""
        return self._networks(name)[1:]

    def _networks(self, name: str) -> tuple[Network, ...]:
        networks: list[dict[str, Any]] = []
        with translated(f"looking at network {name}"):
            for listed in self._ask("networks", [name]):
                if listed["Name"] == name:
                    with suppress(NotFound):  # it went between the two questions
                        networks.append(self._ask("inspect_network", listed["Id"]))
            # Those in use first, then the oldest.
            networks.sort(key=lambda network: (not network.get("Containers"), network["Created"]))
            return tuple(map(self._network, networks))

    def _network(self, network: Mapping[str, Any]) -> Network:
        ranges = network["IPAM"]["Config"] or ()
        range4: Mapping[str, str] = next((subnet for subnet in ranges if ":" not in subnet["Subnet"]), {})
        range6: Mapping[str, str] = next((subnet for subnet in ranges if ":" in subnet["Subnet"]), {})
        lower = range4.get("IPRange") or ""
        if self.is_podman and range4:  # only Podman's other API tells which half is for containers
            url = f"{self._api.base_url}{_LIBPOD}/networks/{network['Id']}/json"
            half = next(IPv4Network(range4["Subnet"]).subnets())
            for subnet in self._api._result(self._api._get(url), json=True)["subnets"]:
                end = (subnet.get("lease_range") or {}).get("end_ip")
                if subnet["subnet"] == range4["Subnet"] and end == str(half.broadcast_address):
                    lower = str(half)
        return Network(
            name=network["Name"],
            subnet=range4.get("Subnet", ""),
            labels=network["Labels"] or {},
            members=frozenset(container["Name"] for container in (network.get("Containers") or {}).values()),
            gateway=range4.get("Gateway", ""),
            subnet6=range6.get("Subnet", ""),
            id=network["Id"],
            lower=lower,
        )

    def labelled_networks(self, label: str) -> tuple[str, ...]:
        with translated("listing networks"):
            networks = self._ask("networks", filters={"label": [label]})
        return tuple(sorted(network["Name"] for network in networks))

    def shares_network(self) -> bool | None:
        """Tell whether the engine's bridges are interfaces of this machine; None where it has no bridge to tell by.

        Their names are made of random ids, so no other machine's can be mistaken for them.
        """
        with translated("listing networks"):
            networks = self._ask("networks", filters={"driver": ["bridge"]})
        bridges = {
            f"br-{network['Id'][:12]}" for network in networks if _BRIDGE_NAME not in (network.get("Options") or {})
        }
        interfaces = {name for _, name in socket.if_nameindex()}
        return not bridges.isdisjoint(interfaces) if bridges else None

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "", halved: bool = False) -> None:
        """Create a bridge network, of IPv4 and, with a range for it, of IPv6 too.

        The engine gives containers on a `halved` network addresses of the lower half only. Only the engine knows which
        range is free, and it accepts a part for containers only along with the whole range: so it creates the network
        twice, as often as others take the range meanwhile.
        """

        def create(**range4: str) -> str:
            ranges = [subnet for subnet in (range4, {"Subnet": subnet6} if subnet6 else {}) if subnet]
            created = self._api.create_network(
                name,
                driver="bridge",
                options={"com.docker.network.bridge.enable_ip_masquerade": "true"},
                ipam={"Driver": "default", "Config": ranges} if ranges else None,
                check_duplicate=True,
                labels=dict(labels),
                enable_ipv6=bool(subnet6),
            )
            return str(created["Id"])

        with translated(f"making network {name}"):
            created = create()
            for left in reversed(range(_TRIES if halved else 0)):
                ranges = self._api.inspect_network(created)["IPAM"]["Config"]
                (whole,) = (IPv4Network(subnet["Subnet"]) for subnet in ranges if ":" not in subnet["Subnet"])
                self._api.remove_network(created)
                try:
                    create(Subnet=str(whole), IPRange=str(next(whole.subnets())))
                except APIError:
                    if not left:
                        raise
                    created = create()
                else:
                    return

    def connect_network(self, name: str, container: str, address: str = "") -> None:
        """Connect a container to one more network, also when it starts again, at that IPv4 address if one is given.

        The engine accepts an address only on a network whose maker chose its range.
        """
        with translated(f"connecting {container} to network {name}"):
            self._api.connect_container_to_network(container, name, ipv4_address=address or None)

    def disconnect_network(self, name: str, container: str) -> None:
        with translated(f"disconnecting {container} from network {name}"):
            self._api.disconnect_container_from_network(container, name, force=True)

    def remove_network(self, name: str) -> None:
        """Remove a network by its name or id; it need not exist."""
        with translated(f"removing network {name}"), suppress(NotFound):
            self._api.remove_network(name)

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        volume = self._inspect(f"looking at volume {name}", "inspect_volume", name)
        return volume and dict(volume["Labels"] or {})

    def labelled_volumes(self, label: str) -> Mapping[str, Mapping[str, str]]:
        with translated("listing volumes"):
            volumes = self._ask("volumes", filters={"label": [label]})["Volumes"] or ()
        return {volume["Name"]: dict(volume["Labels"] or {}) for volume in volumes}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with translated(f"making volume {name}"):
            self._api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> bool:
        with translated(f"removing volume {name}"), suppress(NotFound):
            self._api.remove_volume(name)
            return True
        return False
