"""The engine's networks, and the containers on them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from sandbox.engine.base import Door, NotThere, Refused, translated
from sandbox.engine.engine_values import Network

_TRIES = 3
# Podman's own API, in the first version that all releases since 4.0 support.
_LIBPOD = "/v4.0.0/libpod"
# The option with a bridge's name; without it libnetwork names it by the network's id (drivers/bridge/bridge_linux.go).
_BRIDGE_NAME = "com.docker.network.bridge.name"


class Networks(Door):
    """The engine's networks."""

    def network(self, name: str) -> Network | None:
        """Return the network of exactly this name; of several, which the engine allows, one that is used."""
        with translated(f"looking at network {name}"):
            networks = self._networks(name)
        return _network(networks[0]) if networks else None

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        """Return further networks of this name: of two commands at the same moment, each may have created one."""
        with translated(f"looking at network {name}"):
            return tuple(map(_network, self._networks(name)[1:]))

    def labelled_networks(self, label: str) -> tuple[str, ...]:
        with translated("listing networks"):
            networks = self._get("/networks", filters={"label": [label]})
        return tuple(sorted(network["Name"] for network in networks))

    def shares_network(self) -> bool | None:
        """Tell whether the engine's bridges are interfaces of this machine; None where it has no bridge to tell by.

        Their names are made of random ids, so no other machine's can be mistaken for them.
        """
        with translated("listing networks"):
            networks = self._get("/networks", filters={"driver": ["bridge"]})
        bridges = {
            f"br-{network['Id'][:12]}" for network in networks if _BRIDGE_NAME not in (network.get("Options") or {})
        }
        interfaces = {name for _, name in socket.if_nameindex()}
        return not bridges.isdisjoint(interfaces) if bridges else None

    def _networks(self, name: str) -> list[Mapping[str, Any]]:
        """Return the engine's descriptions of every network of this name, those in use first, then the oldest."""
        networks: list[Mapping[str, Any]] = []
        for listed in self._get("/networks", filters={"name": [name]}):
            if listed["Name"] == name:
                with suppress(NotThere):  # it went between the two questions
                    networks.append(self._halves(self._get(f"/networks/{listed['Id']}")))
        return sorted(networks, key=lambda network: (not network.get("Containers"), network["Created"]))

    def _halves(self, network: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the description of a network; which half has containers Podman tells in an API of its own."""
        if not self.is_podman:
            return network
        own = self._send("GET", f"{_LIBPOD}/networks/{network['Id']}/json").json()
        ends = {subnet["subnet"]: (subnet.get("lease_range") or {}).get("end_ip") for subnet in own["subnets"]}
        ranges = [dict(subnet) for subnet in network["IPAM"]["Config"]]
        for subnet in (subnet for subnet in ranges if ":" not in subnet["Subnet"]):
            half = next(IPv4Network(subnet["Subnet"]).subnets())
            if ends.get(subnet["Subnet"]) == str(half.broadcast_address):
                subnet["IPRange"] = str(half)
        return {**network, "IPAM": {"Config": ranges}}

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "", halved: bool = False) -> None:
        """Create a bridge network, of IPv4 and, with a range for it, of IPv6 too.

        The engine gives containers on a `halved` network addresses of the lower half only. Only the engine knows which
        range is free, and it accepts a part for containers only along with the whole range: so it creates the network
        twice, as often as others take the range meanwhile.
        """
        with translated(f"making network {name}"):
            created = self._create(name, labels, subnet6)
            for left in reversed(range(_TRIES if halved else 0)):
                ranges = self._get(f"/networks/{created}")["IPAM"]["Config"]
                (whole,) = (IPv4Network(subnet["Subnet"]) for subnet in ranges if ":" not in subnet["Subnet"])
                self._ask("DELETE", f"/networks/{created}")
                try:
                    self._create(name, labels, subnet6, Subnet=str(whole), IPRange=str(next(whole.subnets())))
                except Refused:
                    if not left:
                        raise
                    created = self._create(name, labels, subnet6)
                else:
                    return

    def _create(self, name: str, labels: Mapping[str, str], subnet6: str, **range4: str) -> str:
        options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
        body = {"Name": name, "Driver": "bridge", "Labels": dict(labels), "Options": options, "CheckDuplicate": True}
        ranges = [subnet for subnet in (range4, {"Subnet": subnet6} if subnet6 else {}) if subnet]
        if ranges:
            body |= {"EnableIPv6": bool(subnet6), "IPAM": {"Driver": "default", "Config": ranges}}
        return str(self._ask("POST", "/networks/create", body=body).json()["Id"])

    def connect_network(self, name: str, container: str, address: str = "") -> None:
        """Connect a container to one more network, also when it starts again, at that IPv4 address if one is given.

        The engine accepts an address only on a network whose maker chose its range.
        """
        with translated(f"connecting {container} to network {name}"):
            self._attach(name, container, address)

    def disconnect_network(self, name: str, container: str) -> None:
        with translated(f"disconnecting {container} from network {name}"):
            self._ask("POST", f"/networks/{name}/disconnect", body={"Container": container, "Force": True})

    def remove_network(self, name: str) -> None:
        """Remove a network by its name or id; it need not exist."""
        self._removed(f"removing network {name}", f"/networks/{name}")


def _network(network: Mapping[str, Any]) -> Network:
    ranges = network["IPAM"]["Config"] or ()
    range4: Mapping[str, str] = next((subnet for subnet in ranges if ":" not in subnet["Subnet"]), {})
    range6: Mapping[str, str] = next((subnet for subnet in ranges if ":" in subnet["Subnet"]), {})
    return Network(
        name=network["Name"],
        subnet=range4.get("Subnet", ""),
        labels=network["Labels"] or {},
        members=frozenset(container["Name"] for container in (network.get("Containers") or {}).values()),
        gateway=range4.get("Gateway", ""),
        subnet6=range6.get("Subnet", ""),
        id=network["Id"],
        lower=range4.get("IPRange") or "",
    )
