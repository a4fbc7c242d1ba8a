"""Addresses of Services of type LoadBalancer: the addon MetalLB comes with the first Service that waits for one.

The addresses are of the sandbox's own network, so this machine reaches them directly. A node answers for each (layer 2
mode), and kube-proxy does the rest.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.components.addons.addon_manager import AddonManager
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

ADDON = "metallb"
POOLS = "ipaddresspools.metallb.io"
TIMEOUT = 60.0  # seconds for MetalLB to give an address


@dataclass(frozen=True)
class LoadBalancersStep(NothingToUndo):
    """MetalLB, once a Service waits for an address and nothing else in the cluster gives it one."""

    manager: AddonManager
    requires: tuple[str, ...] = ("wiring",)
    after: tuple[str, ...] = ("addons", "charts", "apply")
    name: str = "load-balancers"
    title: str = "Addresses of Services"

    def check(self) -> Status:
        waiting = self._waiting()
        if ADDON in self.manager.records():
            return Status(State.READY, f"waiting for one: {', '.join(waiting)}" if waiting else "by MetalLB")
        if not waiting:
            return Status(State.READY, "no Service waits for one")
        if self.manager.cluster.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", POOLS):
            return Status(State.READY, "by a MetalLB that `up` did not install")
        return Status(State.ABSENT, f"{waiting[0]} waits for one")

    def apply(self, work: Work) -> None:
        self.manager.bring(ADDON, work)
        with suppress(WaitTimeout):  # an address that MetalLB refuses is in an event of its Service
            wait_until(lambda: next(iter(self._waiting()), None), what=self.title, timeout=TIMEOUT)

    def _waiting(self) -> list[str]:
        return [
            f"{service['metadata']['namespace']}/{service['metadata']['name']}"
            for service in self.manager.cluster.list("v1", "Service")
            if _lacks_address(service.get("spec") or {}, service.get("status") or {})
        ]


def _lacks_address(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    is_ours = spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")
    return is_ours and not status.get("loadBalancer")
