"""The steps for addons: the wanted addons, and MetalLB once a Service waits for an address."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.components.addons.addon_manager import AddonManager, lost
from sandbox.errors import UsageError
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

ADDON = "metallb"
POOLS = "ipaddresspools.metallb.io"
TIMEOUT = 60.0  # seconds for MetalLB to give an address


@dataclass(frozen=True)
class AddonStep(NothingToUndo):
    manager: AddonManager
    requires: tuple[str, ...] = ("wiring",)
    name: str = "addons"
    title: str = "Addons"

    def check(self) -> Status:
        manager, records = self.manager, self.manager.records()
        chosen = manager.chosen(records)
        if gone := lost(records):
            return Status(State.DRIFTED, f"{gone[0].name}: {gone[0].source} no longer exists")
        names = [addon.name for addon in chosen]
        if stale := sorted(records.keys() - set(names)):
            return Status(State.DRIFTED, f"no longer in the spec: {', '.join(stale)}")
        for addon in chosen:
            status = manager.status_of(addon, records.get(addon.name))
            if status.state is not State.READY:
                return Status(status.state, f"{addon.name}: {status.detail}")
        return Status(State.READY, ", ".join(names) or "none")

    def apply(self, work: Work) -> None:
        manager, records = self.manager, self.manager.records()
        for gone in lost(records):
            raise UsageError(
                f"the addon '{gone.name}' was enabled from {gone.source}, which no longer exists",
                fix=f"put it back, or sandbox addons disable {gone.name}",
            )
        chosen = manager.chosen(records)
        for name in sorted(records.keys() - {addon.name for addon in chosen}):
            manager.remove(records[name], work.say)
        for addon in chosen:
            work.say(addon.name)
            manager.install_one(addon, records.get(addon.name), last=addon is chosen[-1], work=work)


@dataclass(frozen=True)
class LoadBalancersStep(NothingToUndo):
    """MetalLB, once a Service of type LoadBalancer waits for an address and nothing else in the cluster gives it one.

    The addresses are of the sandbox's own network, so this machine reaches them directly. A node answers for each
    (layer 2 mode), and kube-proxy does the rest.
    """

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
