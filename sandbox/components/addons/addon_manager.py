"""Addons of the spec and of commands: applied, checked, and removed when no longer wanted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from typing import Any, Self

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.components.addons.addon_charts import AddonCharts, ChartUse, require_free
from sandbox.components.addons.catalogue import ChosenAddon, Condition, Objects, WantedAddon, choose, fill, used
from sandbox.components.workloads import applying
from sandbox.engine import Engine
from sandbox.engine.container_host import joined
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, Say
from sandbox.kube.apply_attempts import apply_patiently
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import (
    ObjectKey,
    Records,
    existing_objects,
    find_object,
    keys_from_json,
    keys_to_json,
    remove_objects,
)
from sandbox.names import Names, port_suffix
from sandbox.provider import Provider
from sandbox.step import Progress, State, Status, Work
from sandbox.system.wait import wait_until

LABEL = "sandbox.dev/addon"
# The self-signed certificate of a kubelet that has none of the cluster's CA, and that of the kubelet's own CA.
KUBELET_CERTIFICATE = PurePosixPath("/var/lib/kubelet/pki/kubelet.crt")
TIMEOUT = 180.0
SMALLEST_NETWORK = 28  # bits of the prefix; a quarter of a smaller network is not worth it
KIND = "CustomResourceDefinition"
AHEAD = ("Namespace", "Secret", "ConfigMap")  # what the pods of a chart may need


@dataclass(frozen=True, kw_only=True)
class Record:
    """An addon that was applied: who asked for it, the digest of its objects, and the created objects, in order.

    Objects that existed before the addon are not removed with it, so they are not among `objects`.
    """

    name: str
    source: str
    by: str
    digest: str
    objects: tuple[ObjectKey, ...]

    @property
    def title(self) -> str:
        return f"addon-{self.name}"

    def data(self) -> dict[str, str]:
        objects = keys_to_json(self.objects)
        return {"source": self.source, "by": self.by, "sha256": self.digest, "objects": objects}

    @classmethod
    def of(cls, name: str, data: Mapping[str, str]) -> Self:
        objects = keys_from_json(data["objects"])
        return cls(name=name, source=data["source"], by=data["by"], digest=data["sha256"], objects=objects)


@dataclass(frozen=True, kw_only=True)
class AddonManager:
    """The addons of one sandbox, each with a sealed record in the cluster of its objects and who asked for it.

    `uses` are those of the spec, `asked` one that a command enables now; others of commands are known by their records
    alone. `values` fill placeholders of every addon. `pulled` are published images, by digest, of components that the
    bundle lacks. `served`: the sandbox has an ingress controller for their pages.
    """

    names: Names
    engine: Engine
    provider: Provider
    store: Store
    charts: AddonCharts
    uses: tuple[WantedAddon, ...]
    values: Mapping[str, str]
    pulled: Mapping[str, str] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    served: bool = True

    def bring(self, source: str, work: Work) -> None:
        """Install an addon as a command does, unless it is there. Raises SandboxError."""
        records = self.records()
        for addon in replace(self, asked=(source,)).chosen(records):
            if addon.source == source and addon.addon.name not in records:
                self.install_one(addon, None, last=False, work=work)

    def records(self) -> dict[str, Record]:
        """Return the records of addons in the cluster, by name; what a pod wrote there is none."""
        records = Records.of(self.names).list(LABEL)
        return {record.labels[LABEL]: Record.of(record.labels[LABEL], record.data) for record in records}

    def chosen(self, records: Mapping[str, Record]) -> tuple[ChosenAddon, ...]:
        gone = lost(records)
        kept = [record.source for record in records.values() if record.by == "command" and record not in gone]
        return choose(self.uses, (*kept, *(source for source in self.asked if source not in kept)))

    def status_of(self, chosen: ChosenAddon, record: Record | None) -> Status:
        if record is None:
            return Status(State.ABSENT, "is not there yet")
        objects = self._objects(chosen)
        if (record.digest, record.by) != (applying.digest(objects), chosen.by):
            return Status(State.DRIFTED, "has changed")
        if use := self._chart(chosen):
            status = self.charts.step(use).check()
            if status.state is not State.READY:
                return Status(State.DRIFTED, status.detail)
        cluster = self.cluster
        faults = (applying.fault(cluster, manifest, "gone") for manifest in objects)
        lacking = next(filter(None, faults), None) or _unmet(cluster, chosen.addon.about.ready)
        return Status(State.DRIFTED, lacking) if lacking else Status(State.READY)

    def remove(self, record: Record, say: Say = lambda _: None) -> None:
        say(f"removing {record.name} and waiting until all of it is gone")
        # Nothing wants it any more, so the next `up` finishes a removal that was killed.
        self._write(replace(record, by="", digest=""))
        # First the kinds, with their objects: running controllers may have to finalize these.
        remove_objects(self.cluster, (key for key in record.objects if key.kind == KIND))
        self.charts.uninstall(record.name, say)
        remove_objects(self.cluster, record.objects)
        Records.of(self.names).delete(record.title)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def install_one(self, chosen: ChosenAddon, before: Record | None, *, last: bool, work: Work) -> None:
        cluster, objects, about = self.cluster, self._objects(chosen), chosen.addon.about
        self._supply(chosen, work.say)
        old = before.objects if before else ()
        use = self._chart(chosen)
        if use is not None:
            require_free(cluster, objects, old)
        kinds = self.charts.prepare(use, work.say) if use else ()
        keys = [*(ObjectKey.of(manifest) for manifest in objects), *kinds]
        foreign = existing_objects(cluster, [key for key in keys if key not in old])
        created = tuple(key for key in keys if key not in foreign)
        dropped = tuple(key for key in old if key not in keys)
        digest = applying.digest(objects)
        record = Record(name=chosen.name, source=chosen.source, by=chosen.by, digest=digest, objects=created)
        # Recorded first, so that all its objects can be removed; it counts as ready only when all of them exist.
        self._write(replace(record, digest="", objects=(*created, *dropped)))
        if use is not None:
            for manifest in objects:
                if manifest["kind"] in AHEAD:
                    apply_patiently(cluster, manifest, say=work.say)
            self.charts.step(use).apply(Progress(work.say))
        for manifest in objects:
            apply_patiently(cluster, manifest, say=work.say)
        remove_objects(cluster, dropped)
        self._write(record)
        if last:
            work.usable()
        work.say(f"waiting for {chosen.name}")
        wait_ready(cluster, objects, timeout=TIMEOUT)
        wait_until(partial(_unmet, cluster, about.ready), what=f"addon {chosen.name}", timeout=TIMEOUT)

    def _supply(self, chosen: ChosenAddon, say: Say) -> None:
        components = chosen.addon.about.images.values()
        missing = [self._recipe(name) for name in components if not self._on_nodes(self._image(name))]
        for recipe in missing:
            if recipe.name not in self.pulled and not self.store.has(recipe):
                raise SandboxError(
                    f"the addon '{chosen.name}' needs {recipe.name}, which the bundle lacks",
                    fix=f"{published.BUILD} {recipe.name}",
                    id="no-bundle",
                )
        for recipe in missing:
            if self.store.has(recipe):
                self.provider.load(self.store.image(recipe))
                continue
            build, reference = f"{published.BUILD} {recipe.name}", self.pulled[recipe.name]
            name = published.fetch(self.engine, recipe.name, reference, say, build)
            with machine_node.saved(self.engine, name) as archive:
                self.provider.load(archive)

    def _image(self, component: str) -> str:
        recipe = self._recipe(component)
        if recipe.name in self.pulled and not self.store.has(recipe):
            return published.local_name(recipe.name, self.pulled[recipe.name])
        return recipe.reference

    def _on_nodes(self, image: str) -> bool:
        nodes, argv = self.provider.nodes, ["crictl", "inspecti", "--quiet", image]
        return all(nodes.engine.execute(node, argv)[0] == 0 for node in nodes.running())

    @staticmethod
    def _recipe(component: str) -> Recipe:
        recipe = recipes().get(component)
        if recipe is None or recipe.image is None:
            names = ", ".join(name for name, other in recipes().items() if other.image)
            raise UsageError(f"the bundle has no image '{component}'", fix=f"it has: {names}")
        return recipe

    def url(self, chosen: ChosenAddon) -> str | None:
        return self._url(chosen.name) if self.host(chosen) else None

    def host(self, chosen: ChosenAddon) -> str | None:
        return self._host(chosen.name) if self.served and chosen.addon.about.page else None

    def instructions(self, chosen: ChosenAddon) -> tuple[str, ...]:
        """Return how to use the addon: its hint, and how to sign in, a line each."""
        about, lines = chosen.addon.about, []
        if about.hint:
            lines.append(self._filled(chosen, about.hint))
        if login := about.login:
            place = (about.chart.namespace if about.chart else None) or chosen.name
            template = f"go-template='{{{{index .data \"{login.key}\" | base64decode}}}}'"
            kubectl = f"kubectl --context {self.names.cluster} get secret {login.secret} -n {place}"
            lines.append(f"user {login.user}, password: {kubectl} -o {template}")
        return tuple(lines)

    def _chart(self, chosen: ChosenAddon) -> ChartUse | None:
        chart = chosen.addon.about.chart
        if chart is None:
            return None
        values = self._filled(chosen, chart.values)
        paths = {key: value for key, value in chosen.values.items() if key not in chosen.addon.about.values}
        return ChartUse(addon=chosen.name, chart=chart, values=values, chosen=paths)

    def _write(self, record: Record) -> None:
        Records.of(self.names).write(record.title, record.data(), {LABEL: record.name})

    def _host(self, addon: str) -> str:
        return f"{addon}.{self.values['domain']}"

    def _url(self, addon: str) -> str:
        return f"https://{self._host(addon)}{port_suffix(int(self.values['https_port']))}"

    def _objects(self, chosen: ChosenAddon) -> Objects:
        return tuple(self._filled(chosen, chosen.addon.objects(self._host(chosen.name))))

    def _filled(self, chosen: ChosenAddon, content: Any) -> Any:
        about = chosen.addon.about
        own = {"host": self._host(chosen.name), "url": self._url(chosen.name)}
        references = {key: self._image(name) for key, name in about.images.items()}
        placeholders = {key: value for key, value in chosen.values.items() if key in about.values}
        values = {**self.values, **own, **placeholders, **references}
        nodes = self.provider.nodes
        facts = {
            "password": lambda: Records.of(self.names).secret(f"addon {chosen.name}"),
            "node": lambda: nodes.control_plane,
            "node_address": lambda: self._address(nodes.control_plane),
            # Lines of a hosts(5) file, since pods do not resolve the nodes' names.
            "node_hosts": lambda: "\n".join(f"{self._address(node)} {node}" for node in nodes.running()),
            "kubelet_ca": lambda: "".join(map(self._kubelet_authority, nodes.running())),
            "load_balancer_addresses": self._load_balancer_addresses,
        }
        names = used(content)
        return fill(content, values | {name: fact() for name, fact in facts.items() if name in names})

    def _address(self, node: str) -> str:
        network, container = self.provider.nodes.network, self.engine.container(node)
        address = container.addresses.get(network) if container else None
        if address is None:
            raise SandboxError(f"{node} has no address on the network {network}", fix="sandbox up")
        return address

    def _load_balancer_addresses(self) -> str:
        network = joined(self.engine, self.provider.nodes.network)
        chosen = network.name != self.names.network
        addresses = service_addresses(network.subnet, network.lower, chosen=chosen)
        if addresses is None:
            raise UsageError(
                f"the network {network.name} ({network.subnet}) has no addresses for Services of type LoadBalancer",
                fix="give the Service another type; a network that `sandbox up` creates has such addresses",
            )
        return f"{addresses[1]}-{addresses[-2]}"

    def _kubelet_authority(self, node: str) -> str:
        if (content := self.provider.nodes.engine.read_file(node, KUBELET_CERTIFICATE)) is None:
            raise SandboxError(f"the kubelet's certificate is not at {KUBELET_CERTIFICATE} of {node}")
        return content.decode()


def _unmet(cluster: Cluster, conditions: Iterable[Condition]) -> str | None:
    for expected in conditions:
        key = ObjectKey(expected.apiVersion, expected.kind, expected.namespace, expected.name)
        status = (find_object(cluster, key) or {}).get("status") or {}
        states = {condition["type"]: condition for condition in status.get("conditions") or ()}
        state = states.get(expected.condition, {})
        if state.get("status") != "True":
            return f"{key} is not {expected.condition}: {state.get('message', 'no message yet')}"
    return None


def service_addresses(network: str, lower: str, *, chosen: bool) -> IPv4Network | None:
    """Return the third quarter of a network, for Services; None where the engine may give its addresses to containers.

    Containers are in the lower half: by the engine's range (`lower`), or because the network was `chosen` by a provider
    that gives out the first addresses. In the last quarter are our own containers on such a network.
    """
    whole = IPv4Network(network)
    if whole.prefixlen > SMALLEST_NETWORK or not (lower or chosen):
        return None
    return list(whole.subnets(2))[2]


def lost(records: Mapping[str, Record]) -> tuple[Record, ...]:
    """Return addons that commands enabled from a folder that is gone: only their objects are known."""
    folders = (record for record in records.values() if record.by == "command" and "/" in record.source)
    return tuple(record for record in folders if not Path(record.source).is_dir())
