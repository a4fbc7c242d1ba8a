"""The engine's networks, and the containers on them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from sandbox.engine.base import Door, NotThere, Refused, translated
from sandbox.engine.engine_values import Network

_CHANCES = 3
# Podman's own API, in the first version that all releases since 4.0 support.
_LIBPOD = "/v4.0.0/libpod"
# The option with a bridge's name; without it libnetwork names it by the network's id (drivers/bridge/bridge_linux.go).
_BRIDGE_NAME = "com.docker.network.bridge.name"


class Networks(Door):
    """The engine's networks."""

    def network(self, name: str) -> Network | None:
        """Return the network of exactly this name, or None; of several, which the engine allows, one that is used."""
        with translated(f"looking at network {name}"):
            found = self._networks(name)
        return _network(found[0]) if found else None

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        """Return further networks of this name: of two commands at the same moment, each may have created one."""
        with translated(f"looking at network {name}"):
            return tuple(map(_network, self._networks(name)[1:]))

    def labelled_networks(self, label: str) -> tuple[str, ...]:
        with translated("listing networks"):
            return tuple(sorted(one["Name"] for one in self._get("/networks", filters={"label": [label]})))

    def shares_network(self) -> bool | None:
        """Tell whether the engine's bridges are interfaces of this machine; None where it has no bridge to tell by.

        Their names are made of random ids, so no other machine's can be mistaken for them.
        """
        with translated("listing networks"):
            found = self._get("/networks", filters={"driver": ["bridge"]})
        bridges = {f"br-{one['Id'][:12]}" for one in found if _BRIDGE_NAME not in (one.get("Options") or {})}
        there = {name for _, name in socket.if_nameindex()}
        return not bridges.isdisjoint(there) if bridges else None

    def _networks(self, name: str) -> list[Mapping[str, Any]]:
        """Return the engine's descriptions of every network of this name, those in use first, then the oldest."""
        known = [one["Id"] for one in self._get("/networks", filters={"name": [name]}) if one["Name"] == name]
        found: list[Mapping[str, Any]] = []
        for each in known:
            with suppress(NotThere):  # it went between the two questions
                found.append(self._whole(self._get(f"/networks/{each}")))
        return sorted(found, key=lambda one: (not one.get("Containers"), one["Created"]))

    def _whole(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the description of a network; which half has containers Podman tells in an API of its own."""
        if not self.is_podman:
            return found
        own = self._send("GET", f"{_LIBPOD}/networks/{found['Id']}/json").json()
        last = {one["subnet"]: (one.get("lease_range") or {}).get("end_ip") for one in own["subnets"]}
        ranges = [dict(one) for one in found["IPAM"]["Config"]]
        for one in (each for each in ranges if ":" not in each["Subnet"]):
            half = next(IPv4Network(one["Subnet"]).subnets())
            if last.get(one["Subnet"]) == str(half.broadcast_address):
                one["IPRange"] = str(half)
        return {**found, "IPAM": {"Config": ranges}}

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "", halved: bool = False) -> None:
        """Create a bridge network, of IPv4 and, with a range for it, of IPv6 too.

        The engine gives containers on a `halved` network addresses of the lower half only.
        """
        with translated(f"making network {name}"):
            made = self._create(name, labels, subnet6)
            for chance in range(_CHANCES if halved else 0):
                # Only the engine knows which range is free, and accepts a part for containers only along with the whole
                # range.
                ranges = self._get(f"/networks/{made}")["IPAM"]["Config"]
                (whole,) = (IPv4Network(one["Subnet"]) for one in ranges if ":" not in one["Subnet"])
                self._ask("DELETE", f"/networks/{made}")
                try:
                    self._create(name, labels, subnet6, **_halved(whole))
                except Refused:  # another network got the range meanwhile
                    if chance == _CHANCES - 1:
                        raise
                    made = self._create(name, labels, subnet6)
                else:
                    return

    def _create(self, name: str, labels: Mapping[str, str], subnet6: str, **range4: str) -> str:
        options = {"com.docker.network.bridge.enable_ip_masquerade": "true"}
        body = {"Name": name, "Driver": "bridge", "Labels": dict(labels), "Options": options, "CheckDuplicate": True}
        ranges = [one for one in (range4, {"Subnet": subnet6} if subnet6 else {}) if one]
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


def _halved(whole: IPv4Network) -> Mapping[str, str]:
    return {"Subnet": str(whole), "IPRange": str(next(whole.subnets()))}


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
        lower=first.get("IPRange") or "",
    )
