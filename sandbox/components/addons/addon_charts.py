"""The charts of addons: pulled, locked, their images pushed, and installed by the step that installs the user's.

What an addon's addon.yaml does not pin is locked by the user's first `enable`, for all their sandboxes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle.published import mirrored
from sandbox.bundle.store import Store
from sandbox.components.addons.catalogue import AddonChart, Objects
from sandbox.components.workloads.chart_archives import ChartArchives, ChartChanged, lock
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.image_names import ImageNames, slots
from sandbox.config.schema import RemoteChart
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.lockfile import LockFile, dump, lock_of, lock_path
from sandbox.images.registry_content import ADDONS, image_size, prune, tagged_below
from sandbox.kube.api import Cluster, Say, title
from sandbox.kube.manifests import ingress_hosts
from sandbox.kube.records import ObjectKey, Records
from sandbox.names import Names
from sandbox.oci import reference as references
from sandbox.oci.client import Client
from sandbox.step import Progress, Step
from sandbox.system import files

HEADER = "# Written by `sandbox`: the images of an addon's chart.\n"


@dataclass(frozen=True, kw_only=True)
class ChartUse:
    """The chart of an addon: `values` are its own, with placeholders filled in, `chosen` the spec's by their paths."""

    addon: str
    chart: AddonChart
    values: Mapping[str, Any]
    chosen: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AddonCharts:
    """The charts of addons in one sandbox.

    `push` returns the step that pushes the images of an images.yaml. `images` are the names of the registry, which may
    be `external`; `mirrors` are asked in place of other registries.
    """

    names: Names
    engine: Engine
    images: ImageNames
    external: bool
    push: Callable[[Path], Step]
    mirrors: Mapping[str, str]

    def prepare(self, use: ChartUse, say: Say) -> tuple[ObjectKey, ...]:
        """Pull the chart and push its images; returns the kinds that it defines. Raises SandboxError."""
        archives = ChartArchives(self.names.home.charts)
        chart, helm = self._remote(use), Helm.find(Store(self.names.home.bundle))
        try:
            archives.pull_all([chart], helm, say)
        except ChartChanged as error:
            if use.chart.digest:
                error.fix = "do not use it; if its publisher confirms the change, copy the addon with another digest"
            raise
        objects = helm.render(archives.pulled(chart), whole=True)
        names = {str(holder[key]) for manifest in objects for holder, key in slots(manifest, {})}
        foreign = sorted(name for name in names if name and not self.images.is_ours(name))
        if foreign:
            self._push(use, foreign, say)
        else:
            self._manifest(use.addon).unlink(missing_ok=True)
        return tuple(ObjectKey.of(manifest) for manifest in objects if manifest["kind"] == "CustomResourceDefinition")

    def uninstall(self, addon: str, say: Say) -> None:
        """Uninstall the addon's release and remove its images, if this user's commands made it. Raises SandboxError."""
        records, name = Records.of(self.names), _record(addon)
        if records.read(name) is None:
            return
        self._charts_step((), self.images, name).apply(Progress(say))
        records.delete(name)
        self._values(addon).unlink(missing_ok=True)
        if not self.external:
            with suppress(SandboxError), Client(self.images.url, keychain=self.images.keychain) as client:
                prune(client, tagged_below(client, f"{ADDONS}{addon}/"), ())

    def size(self, addon: str) -> int | None:
        file = self._size(addon)
        return int(file.read_text(encoding="utf-8")) if file.exists() else None

    def step(self, use: ChartUse) -> ChartsStep:
        manifest = self._manifest(use.addon)
        images = self.images.with_images(manifest if manifest.exists() else None)
        return self._charts_step((self._remote(use),), images, _record(use.addon))

    def _charts_step(self, charts: tuple[RemoteChart, ...], images: ImageNames, record: str) -> ChartsStep:
        return ChartsStep(self.names, charts, images, requires=(), record=record)

    def _remote(self, use: ChartUse) -> RemoteChart:
        values = self._values(use.addon)
        text = yaml.safe_dump(dict(use.values), sort_keys=False, allow_unicode=True).encode()
        if files.content(values) != text:
            files.write_private(values, text)
        chart = RemoteChart(
            chart=use.chart.chart,
            repo=use.chart.repo,
            version=use.chart.version,
            release=use.addon,
            namespace=use.chart.namespace or use.addon,
            values=(values,),
            set={key: _typed(value) for key, value in use.chosen.items()},
            lock=self._folder(use.addon) / "charts.lock.yaml",
        )
        files.make_private_dir(chart.lock.parent)
        if use.chart.digest:
            lock([chart], {chart: use.chart.digest})
        return chart

    def _push(self, use: ChartUse, names: Sequence[str], say: Say) -> None:
        manifest = self._manifest(use.addon)
        content = {"images": list(self._entries(use, names))}
        files.write_atomic(manifest, (HEADER + yaml.safe_dump(content, sort_keys=False)).encode(), mode=0o600)
        if not lock_path(manifest).exists():  # a push only updates an existing lock
            files.write_atomic(lock_path(manifest), dump(lock_of(())).encode(), mode=0o600)
        self.push(manifest).apply(Progress(say))
        targets = [entry.target for entry in LockFile.of(manifest).entries]
        with Client(self.images.url, keychain=self.images.keychain) as client:
            size = sum(image_size(client, target.repository, target.tag) for target in targets)
        files.write_atomic(self._size(use.addon), str(size).encode(), mode=0o600)

    def _entries(self, use: ChartUse, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        spellings: dict[str, list[str]] = {}
        for name in names:
            spellings.setdefault(str(references.parse(name).with_default_tag()), []).append(name)
        pinned = {str(references.parse(name)): digest for name, digest in use.chart.images.items()}
        lock_file = LockFile(self._manifest(use.addon), ()).read()
        locked = (
            {image.target for image in lock_file.images if image.origin.startswith("registry ")} if lock_file else ()
        )
        for full, written in spellings.items():
            reference = references.parse(full)
            digest = reference.digest or pinned.get(full)
            tag = reference.tag or (digest or "").partition(":")[2][:12]
            target = f"{ADDONS}{use.addon}/{reference.familiar_path}:{tag}"
            place = {"as": target, "for": written}
            image = self.engine.inspect_image(written[0])
            digests = (image["RepoDigests"] or ()) if image else ()
            in_engine = image is not None and (not digest or any(other.endswith(digest) for other in digests))
            if in_engine and target not in locked:
                yield {"from": "daemon", "image": written[0], **place}
            else:
                yield {"image": mirrored(str(replace(reference, digest=digest)), self.mirrors), **place}

    def _folder(self, addon: str) -> Path:
        return self.names.home.addons / addon

    def _manifest(self, addon: str) -> Path:
        return self._folder(addon) / "images.yaml"

    def _size(self, addon: str) -> Path:
        return self._folder(addon) / "size"

    def _values(self, addon: str) -> Path:
        return self.names.addon_values / f"{addon}.yaml"


def require_free(cluster: Cluster, objects: Objects, created: Iterable[ObjectKey]) -> None:
    """Raise SandboxError where the host of an addon's page is another Ingress's, which would share its paths."""
    ingresses = [manifest for manifest in objects if manifest["kind"] == "Ingress"]
    own = set(map(ObjectKey.of, ingresses))
    hosts = {host for manifest in ingresses for host in ingress_hosts(manifest)}
    for live in cluster.list("networking.k8s.io/v1", "Ingress") if hosts else ():
        key = ObjectKey.of(live)
        taken = hosts.intersection(ingress_hosts(live))
        if key in own.intersection(created) or not (taken or key in own):
            continue
        raise SandboxError(
            f"{min(taken or hosts)} is a host of {title(live)} already",
            details=f"in the namespace {live['metadata']['namespace']}; nothing was changed",
            fix="give that Ingress another host, or delete it",
            id="domain-taken",
        )


def _record(addon: str) -> str:
    return f"chart-of-{addon}"


def _typed(value: str) -> str | int | float | bool:
    with suppress(yaml.YAMLError):
        parsed = yaml.safe_load(value)
        if isinstance(parsed, bool | int | float):
            return parsed
    return value
