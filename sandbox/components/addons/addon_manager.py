"""Addons of the spec and of commands: applied, checked, and removed when no longer wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sandbox.components.addons import addon_objects, chart_addons
from sandbox.components.addons.addon_images import AddonImages
from sandbox.components.addons.addon_objects import LABEL, ObjectKey, Objects, Record, digest, used
from sandbox.components.addons.catalogue import ChosenAddon, WantedAddon, choose
from sandbox.components.addons.chart_addons import Charts, ChartUse
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, Say
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import Records
from sandbox.step import State, Status, Work
from sandbox.system.wait import wait_until

# The self-signed certificate of a kubelet that has none of the cluster's CA, and that of the kubelet's own CA.
KUBELET_CERTIFICATE = PurePosixPath("/var/lib/kubelet/pki/kubelet.crt")
TIMEOUT = 180.0
KIND = "CustomResourceDefinition"
AHEAD = ("Namespace", "Secret", "ConfigMap")  # what the pods of a chart may need
IGNORED = "ignored, as no command of this user enabled them:"


@dataclass(frozen=True, kw_only=True)
class AddonManager:
    """The addons of one sandbox, each with a sealed record in the cluster of its objects and who asked for it.

    `uses` are those of the spec. Addons that a command enabled are known by their records alone, so they exist as long
    as the cluster; `asked` is one that is being enabled now. `values` fill placeholders of every addon; `charts`
    returns the service for addons that are charts, which takes long to import. `served` says that the sandbox has an
    ingress controller for their pages. An unsealed record, which an earlier release or a pod wrote, enables nothing and
    removes nothing: it is only believed that an object which the addon itself has was created by it.
    """

    images: AddonImages
    uses: tuple[WantedAddon, ...]
    values: Mapping[str, str]
    asked: tuple[str, ...] = ()
    charts: Callable[[], Charts] | None = None
    served: bool = True

    def status(self) -> Status:
        """Check all addons; the first one that is not ready decides."""
        records = self.records()
        chosen = self.chosen(records)
        gone = lost(records)
        if gone:
            return Status(State.DRIFTED, f"{gone[0].name}: {gone[0].source} no longer exists")
        stale = sorted(records.keys() - {one.addon.name for one in chosen})
        if stale:
            return Status(State.DRIFTED, f"no longer in the spec: {', '.join(stale)}")
        for one in chosen:
            status = self.status_of(one, records.get(one.addon.name))
            if status.state is not State.READY:
                return Status(status.state, f"{one.addon.name}: {status.detail}")
        there = ", ".join(one.addon.name for one in chosen) or "none"
        ignored = sorted(self._claimed().keys() - {one.addon.name for one in chosen})
        return Status(State.READY, f"{there}; {IGNORED} {', '.join(ignored)}" if ignored else there)

    def install(self, work: Work) -> None:
        """Install all addons that are wanted, and remove all others. Raises SandboxError."""
        records = self.records()
        for gone in lost(records):
            raise UsageError(
                f"the addon '{gone.name}' was enabled from {gone.source}, which no longer exists",
                fix=f"put it back, or sandbox addons disable {gone.name}",
            )
        chosen = self.chosen(records)
        for name in sorted(records.keys() - {one.addon.name for one in chosen}):
            work.say(f"removing {name}")
            self.remove(records[name], work.say)
        for one in chosen:
            work.say(one.addon.name)
            self._install(one, records.get(one.addon.name), last=one is chosen[-1], work=work)

    def records(self) -> dict[str, Record]:
        """Return the sealed records of addons in the cluster, by name."""
        return self._found(sealed=True)

    def chosen(self, records: Mapping[str, Record]) -> tuple[ChosenAddon, ...]:
        """Return the wanted addons, without those whose folder is gone. Raises UsageError."""
        kept = [one.source for one in records.values() if one.by == "command" and one not in lost(records)]
        return choose(self.uses, (*kept, *(one for one in self.asked if one not in kept)))

    def status_of(self, chosen: ChosenAddon, record: Record | None) -> Status:
        """Check one addon."""
        if record is None:
            return Status(State.ABSENT, "is not there yet")
        objects = self._objects(chosen)
        if (record.digest, record.by) != (digest(objects), chosen.by):
            return Status(State.DRIFTED, "has changed")
        if use := self._chart(chosen):
            status = self._charts.check(use)
            if status.state is not State.READY:
                return Status(State.DRIFTED, status.detail)
        lacking = next(addon_objects.lacking(self.cluster, objects, chosen.addon.about.ready), None)
        return Status(State.DRIFTED, lacking) if lacking else Status(State.READY)

    def remove(self, record: Record, say: Say = lambda _: None) -> None:
        """Remove everything that an addon created, and then its record.

        The record is first marked as wanted by nothing, so that the next `up` finishes a removal that was killed.
        """
        say(f"removing {record.name} and waiting until all of it is gone")
        self._write(replace(record, by="", digest=""))
        # First the kinds, with their objects: running controllers may have to finalize these.
        addon_objects.remove(self.cluster, (one for one in record.objects if one.kind == KIND))
        if self.charts is not None:
            self._charts.uninstall(record.name, say)
        addon_objects.remove(self.cluster, record.objects)
        self._records.delete(record.title)

    @property
    def cluster(self) -> Cluster:
        """Return the sandbox's cluster. Raises ClusterError when there is none."""
        return Cluster(self.images.sandbox.kubeconfig)

    def _install(self, chosen: ChosenAddon, before: Record | None, *, last: bool, work: Work) -> None:
        cluster, objects, about = self.cluster, self._objects(chosen), chosen.addon.about
        self.images.supply(chosen.addon.name, objects, about.images.values(), work.say)
        old = before.objects if before else ()
        use = self._chart(chosen)
        if use is not None:
            chart_addons.require_free(cluster, objects, old)
        kinds = self._charts.prepare(use, work.say) if use else ()
        places = [*(ObjectKey.of(one) for one in objects), *kinds]
        if before is None and (claimed := self._claimed().get(chosen.addon.name)):
            old = tuple(place for place in claimed.objects if place in places)
        found = addon_objects.existing(cluster, [place for place in places if place not in old])
        brought = tuple(place for place in places if place not in found)
        dropped = tuple(place for place in old if place not in places)
        record = Record(
            name=chosen.addon.name, source=chosen.source, by=chosen.by, digest=digest(objects), objects=brought
        )
        # Recorded first, so that all its objects can be removed; it counts as ready only when all of them are there.
        self._write(replace(record, digest="", objects=(*brought, *dropped)))
        if use is not None:
            addon_objects.apply(cluster, tuple(one for one in objects if one["kind"] in AHEAD), say=work.say)
            self._charts.install(use, work)
        addon_objects.apply(cluster, objects, say=work.say)
        addon_objects.remove(cluster, dropped)
        self._write(record)
        if last:
            work.usable()
        work.say(f"waiting for {chosen.addon.name}")
        wait_ready(cluster, objects, timeout=TIMEOUT)
        wait_until(
            lambda: next(addon_objects.unmet(cluster, about.ready), None),
            what=f"addon {chosen.addon.name}",
            timeout=TIMEOUT,
        )

    def size(self, addon: str) -> int | None:
        """Return the size of an addon's chart images in bytes, None where it is not known yet."""
        return self._charts.size(addon)

    def url(self, chosen: ChosenAddon) -> str | None:
        """Return the URL of the addon's page, None for an addon without one."""
        return chart_addons.url(chosen.addon.name, self.values) if self.host(chosen) else None

    def host(self, chosen: ChosenAddon) -> str | None:
        """Return the host of the addon's page, None for an addon without one."""
        page = chosen.addon.about.page if self.served else None
        return chart_addons.host(chosen.addon.name, self.values["domain"]) if page else None

    def told(self, chosen: ChosenAddon) -> tuple[str, ...]:
        """Return how to use the addon: its hint, and how to sign in, a line each."""
        about, lines = chosen.addon.about, []
        if about.hint:
            lines.append(addon_objects.fill(about.hint, self._filling(chosen, about.hint)))
        if login := about.login:
            place = (about.chart.namespace if about.chart else None) or chosen.addon.name
            template = f"go-template='{{{{index .data \"{login.key}\" | base64decode}}}}'"
            kubectl = f"kubectl --context {self.images.sandbox.cluster} get secret {login.secret} -n {place}"
            lines.append(f"user {login.user}, password: {kubectl} -o {template}")
        return tuple(lines)

    def _chart(self, chosen: ChosenAddon) -> ChartUse | None:
        """Return the addon's chart with its values filled in, None for an addon without one."""
        chart = chosen.addon.about.chart
        if chart is None:
            return None
        values = addon_objects.fill(chart.values, self._filling(chosen, chart.values))
        return ChartUse(addon=chosen.addon.name, chart=chart, values=values, chosen=chosen.chart_values)

    @property
    def _charts(self) -> Charts:
        if self.charts is None:
            raise SandboxError("this sandbox has no way to bring charts")
        return self.charts()

    @property
    def _records(self) -> Records:
        return Records(self.cluster, self.images.sandbox)

    def _write(self, record: Record) -> None:
        self._records.write(record.title, record.data(), {LABEL: record.name})

    def _claimed(self) -> dict[str, Record]:
        """Return the content of unsealed records."""
        return self._found(sealed=False)

    def _found(self, *, sealed: bool) -> dict[str, Record]:
        found = (one for one in self._records.list(LABEL) if one.sealed is sealed)
        return {one.labels[LABEL]: Record.of(one.labels[LABEL], one.data) for one in found}

    def _objects(self, chosen: ChosenAddon) -> Objects:
        addon = chosen.addon
        objects = (*chart_addons.around(addon, self.values.get("domain", "")), *addon_objects.load(chosen))
        return addon_objects.filled(objects, self._filling(chosen, objects))

    def _filling(self, chosen: ChosenAddon, content: object) -> dict[str, str]:
        """Return the values of the placeholders in `content`."""
        name, wanted = chosen.addon.name, used(content)
        own = {
            "host": chart_addons.host(name, self.values.get("domain", "")),
            "url": chart_addons.url(name, self.values),
        }
        references = self.images.references(chosen.addon.about.images)
        values = {**self.values, **own, **chosen.placeholders, **references}
        facts = {
            "password": lambda: self._records.secret(f"addon {name}"),
            "node": self._node,
            "node_address": lambda: self._address(self._node()),
            "node_hosts": self._hosts,
            "kubelet_ca": self._kubelet_authorities,
        }
        return values | {name: fact() for name, fact in facts.items() if name in wanted}

    def _node(self) -> str:
        return self.images.provider.nodes.control_plane

    def _address(self, node: str) -> str:
        network, container = self.images.provider.nodes.network, self.images.engine.container(node)
        address = container.addresses.get(network) if container else None
        if address is None:
            raise SandboxError(f"{node} has no address on the network {network}", fix="sandbox up")
        return address

    def _hosts(self) -> str:
        """Return the running nodes as lines of a hosts(5) file, since pods do not resolve their names."""
        return "\n".join(f"{self._address(node)} {node}" for node in self.images.provider.nodes.running())

    def _kubelet_authorities(self) -> str:
        return "".join(self._kubelet_authority(node) for node in self.images.provider.nodes.running())

    def _kubelet_authority(self, node: str) -> str:
        found = self.images.provider.nodes.read_file(node, KUBELET_CERTIFICATE)
        if found is None:
            raise SandboxError(f"the kubelet's certificate is not at {KUBELET_CERTIFICATE} of {node}")
        return found.decode()


def lost(records: Mapping[str, Record]) -> tuple[Record, ...]:
    """Return addons that commands enabled from a folder that is gone: all that is known of them is their objects."""
    folders = (one for one in records.values() if one.by == "command" and "/" in one.source)
    return tuple(one for one in folders if not Path(one.source).is_dir())
