"""The charts of addons, installed as the user's own are: pulled, locked, their images pushed, installed by helm.

What an addon's addon.yaml does not pin is locked by the user's first `enable`, for all their sandboxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle.published import mirrored
from sandbox.bundle.store import Store
from sandbox.components.addons.addon_objects import ObjectKey
from sandbox.components.addons.chart_addons import ChartUse
from sandbox.components.workloads.chart_archives import ChartArchives, ChartChanged, lock
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.image_names import ImageNames, slots
from sandbox.config.schema import RemoteChart
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.lockfile import LockFile, dump, lock_of, lock_path
from sandbox.images.registry_content import ADDONS, image_size, prune, tagged_below
from sandbox.kube.api import Manifest, Say
from sandbox.kube.records import Records
from sandbox.names import Names
from sandbox.oci import reference as references
from sandbox.oci.client import Client
from sandbox.step import Progress, Status, Step, Work
from sandbox.system import files

HEADER = "# Written by `sandbox`: the images of an addon's chart.\n"


@dataclass(frozen=True, kw_only=True)
class AddonCharts:
    """Installs the charts of addons in one sandbox.

    `push` returns the step that pushes the images of a list, `install` the one that installs charts with images by
    these names, under a record. `images` tells the names of the registry, `mirrors` what is asked in place of others.
    """

    names: Names
    engine: Engine
    store: Store
    images: ImageNames
    external: bool
    push: Callable[[Path], Step]
    install_step: Callable[[tuple[RemoteChart, ...], ImageNames, str], ChartsStep]
    mirrors: Mapping[str, str] = field(default_factory=dict)

    def check(self, use: ChartUse) -> Status:
        """Check the release and its pods."""
        return self._step(use).check()

    def prepare(self, use: ChartUse, say: Say) -> tuple[ObjectKey, ...]:
        """Have the chart and its images in the registry; returns the kinds that it defines. Raises SandboxError."""
        chart, helm = self._remote(use), Helm.find(self.store)
        try:
            self._archives.pull_all([chart], helm, say)
        except ChartChanged as error:
            if use.chart.digest:
                error.fix = "do not use it; if its publisher confirms the change, copy the addon with another digest"
            raise
        found = self._archives.find(chart)
        if found is None:
            raise SandboxError(f"the archive of the chart {chart.source} is gone", fix="repeat the command")
        objects = helm.render(found, whole=True)
        self._supply(use, objects, say)
        return tuple(ObjectKey.of(one) for one in objects if one["kind"] == "CustomResourceDefinition")

    def install(self, use: ChartUse, work: Work) -> None:
        """Install or upgrade the release, and wait. Raises SandboxError."""
        self._step(use).apply(Progress(work.say))

    def uninstall(self, addon: str, say: Say) -> None:
        """Uninstall the addon's release and remove its images, if this user's commands made it. Raises SandboxError."""
        records, name = Records.of(self.names), _record(addon)
        if records.read(name) is None:
            return
        self.install_step((), self.images, name).apply(Progress(say))
        records.delete(name)
        self._values(addon).unlink(missing_ok=True)
        if not self.external:
            with suppress(SandboxError), Client(self.images.url, keychain=self.images.keychain) as client:
                prune(client, tagged_below(client, f"{ADDONS}{addon}/"), ())

    def size(self, addon: str) -> int | None:
        """Return the size of its images in bytes, None before they were fetched."""
        try:
            return int(self._size(addon).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _step(self, use: ChartUse) -> ChartsStep:
        manifest = self._manifest(use.addon)
        images = self.images.with_images(manifest if manifest.exists() else None)
        return self.install_step((self._remote(use),), images, _record(use.addon))

    def _remote(self, use: ChartUse) -> RemoteChart:
        """Return the chart as one of `apply`, with its values in a file, and its digest locked if that is known."""
        values = self._values(use.addon)
        text = yaml.safe_dump(dict(use.values), sort_keys=False, allow_unicode=True)
        if not values.exists() or values.read_text(encoding="utf-8") != text:
            files.write_private(values, text.encode())
        source = {"chart": use.chart.chart, "version": use.chart.version}
        content: dict[str, Any] = {**source, "release": use.addon, "namespace": use.namespace, "values": (values,)}
        if use.chart.repo:
            content["repo"] = use.chart.repo
        content |= {"set": {key: _typed(value) for key, value in use.chosen.items()}}
        made = RemoteChart.model_validate({**content, "lock": self._folder(use.addon) / "charts.lock.yaml"})
        files.make_private_dir(made.lock.parent)
        if use.chart.digest:
            lock([made], {made: use.chart.digest})
        return made

    def _supply(self, use: ChartUse, objects: Sequence[Manifest], say: Say) -> None:
        """Have the images of the objects in the registry, by the digests that are known or were locked."""
        found = {str(holder[key]) for one in objects for holder, key in slots(one, {})}
        wanted = {name for name in found if name and not self.images.is_ours(name)}
        manifest = self._manifest(use.addon)
        content = {"images": list(self._items(use, sorted(wanted)))}
        if not wanted:
            manifest.unlink(missing_ok=True)
            return
        files.write_atomic(manifest, (HEADER + yaml.safe_dump(content, sort_keys=False)).encode(), mode=0o600)
        if not lock_path(manifest).exists():  # a push only updates an existing lock
            files.write_atomic(lock_path(manifest), dump(lock_of(())).encode(), mode=0o600)
        self.push(manifest).apply(Progress(say))
        with Client(self.images.url, keychain=self.images.keychain) as client:
            sizes = [image_size(client, one.target.repository, one.target.tag) for one in LockFile.of(manifest).entries]
        files.write_atomic(self._size(use.addon), str(sum(sizes)).encode(), mode=0o600)

    def _items(self, use: ChartUse, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of images.yaml for the images, each once however the chart writes it."""
        same: dict[str, list[str]] = {}
        for name in names:
            same.setdefault(str(references.parse(name).with_default_tag()), []).append(name)
        pinned = {str(references.parse(name)): digest for name, digest in use.chart.images.items()}
        locked = self._locked(use.addon)
        for full, written in same.items():
            reference = references.parse(full)
            digest = reference.digest or pinned.get(full)
            tag = reference.tag or (digest or "").partition(":")[2][:12]
            target = f"{ADDONS}{use.addon}/{reference.familiar_path}:{tag}"
            place = {"as": target, "for": written}
            if self._engine_has(written[0], digest) and target not in locked:
                yield {"from": "daemon", "image": written[0], **place}
            else:
                yield {"image": mirrored(str(replace(reference, digest=digest)), self.mirrors), **place}

    def _engine_has(self, name: str, digest: str | None) -> bool:
        """Tell whether the engine has the image, with the digest where one is known."""
        image = self.engine.inspect_image(name)
        return image is not None and (digest is None or any(one.endswith(digest) for one in image["RepoDigests"] or ()))

    def _locked(self, addon: str) -> frozenset[str]:
        """Return the images that the first `enable` took from their registries."""
        manifest = self._manifest(addon)
        found = LockFile(manifest, ()).read()
        return (
            frozenset(one.target for one in found.images if one.origin.startswith("registry "))
            if found
            else frozenset()
        )

    @property
    def _archives(self) -> ChartArchives:
        return ChartArchives(self.names.home.charts)

    def _folder(self, addon: str) -> Path:
        return self.names.home.addons / addon

    def _manifest(self, addon: str) -> Path:
        return self._folder(addon) / "images.yaml"

    def _size(self, addon: str) -> Path:
        return self._folder(addon) / "size"

    def _values(self, addon: str) -> Path:
        return self.names.addon_values / f"{addon}.yaml"


def _record(addon: str) -> str:
    return f"chart-of-{addon}"


def _typed(value: str) -> str | int | float | bool:
    """Return a value as helm's own `--set` would parse it."""
    with suppress(yaml.YAMLError):
        found = yaml.safe_load(value)
        if isinstance(found, bool | int | float):
            return found
    return value
