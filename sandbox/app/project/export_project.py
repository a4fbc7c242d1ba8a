"""Writes a sandbox as a folder that recreates it elsewhere: spec, manifests, images by digest, versions."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from sandbox import __version__
from sandbox.app import context
from sandbox.app.project import spec_check
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.apply_schema import Chart, Item, RemoteChart
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.images import lockfile as locks
from sandbox.images.lockfile import Locked, LockFile
from sandbox.images.sources.layout import write_layout
from sandbox.kube import manifests
from sandbox.oci.client import Client
from sandbox.system.files import is_inside

HEADER = "# Written by `sandbox export`. `sandbox up --from FOLDER` brings the same sandbox up.\n"
MANIFESTS, IMAGES, ADDONS = "k8s", "images", "addons"
# Keys that belong to a machine or a person, with the reason why they are not exported.
PERSONAL: Mapping[str, str] = {
    "credentials": "accounts stay on this machine",
    "certs.default": "a private key must stay on this machine",
    "network.proxy": "the outbound proxy is this machine's",
    "network.ca": "the certificates are this machine's",
    "registry.storage": "the folder is this machine's",
    "registry.external": "the images are in the folder",
}
SECRET = re.compile(rb"""\bkind["']?: *["']?Secret\b""")


@dataclass
class Exported:
    """What to know before passing the folder on: what is missing in it, its secrets, and hosts that `up` changes."""

    left_out: list[str] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    hosts: tuple[str, ...] = ()


def export(spec: ResolvedSpec, folder: Path, say: Callable[[str], None]) -> Exported:
    """Write the sandbox to `folder`, which must be new or empty; returns what was left out and which secrets are in it.

    Manifests and addons are exported as `up` reads them: no other file of their folders, none that a link leads to
    elsewhere, and none for others to read that they may not read now. The images are those that its registry has under
    the names of its manifest. Raises SandboxError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", fix="name a new folder")
    exported = Exported(hosts=spec_check.host_notes(spec))  # first, because it may need a program that is missing
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made", details=str(error)) from error
    data = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data = {"apiVersion": spec.apiVersion, "name": spec.name, "domain": spec.domain, **data}
    for path, why in PERSONAL.items():
        section, _, key = path.rpartition(".")
        if (data.get(section) or {} if section else data).pop(key, None) is not None:
            exported.left_out.append(f"{path}: {why}")
    try:
        if spec.apply:
            say("manifests")
            items = enumerate(spec.apply, 1)
            data["apply"] = [_applied(item, folder / MANIFESTS, number, exported) for number, item in items]
        for addon in data["addons"] if spec.addons else ():
            if "/" in addon["addon"]:  # of the user's own
                source = Path(addon["addon"])
                addon["addon"] = f"./{_manifests(source, folder / ADDONS / source.name, exported)}"
    except OSError as error:
        raise UsageError("a file of the project cannot be copied", details=str(error)) from error
    if spec.push:
        say("images")
        data["push"] = _images(spec, spec.push, folder)
    _write(folder / "sandbox.yaml", data)
    engine = Engine.connect()
    own = system_images.for_spec(spec, context.home(), engine)
    ids = {name: {"reference": image, "id": engine.image_id(image)} for name, image in sorted(own.references.items())}
    versions = {"sandbox": __version__, "kubernetes": own.kubernetes, "engine": engine.facts().version, "images": ids}
    _write(folder / "versions.yaml", versions)
    return exported


def _applied(item: Item, into: Path, number: int, exported: Exported) -> str | dict[str, Any]:
    if isinstance(item, Chart | RemoteChart):
        chart = ChartArchives(context.home().charts).find(item)
        if chart is None:
            raise UsageError(f"the chart {item.name} is not pulled yet", fix="sandbox up")
        return _chart(chart, into / f"{number}-{item.name}", exported)
    source = user_manifests.rendered(item)
    if source is None:
        path = cast("Path", item)
        return _manifests(path, into / f"{number}-{path.name or 'manifests'}", exported)
    file = into / f"{number}-{source.kustomize.name}.yaml"  # rendered, for its bases may be anywhere
    into.mkdir(parents=True, exist_ok=True)
    file.write_text(user_manifests.text(source, Store(context.home().bundle)), encoding="utf-8")
    if SECRET.search(file.read_bytes()):
        file.chmod(0o600)
        exported.carried.append(f"{source.kustomize}: a Secret")
    return f"{MANIFESTS}/{file.name}"


def _chart(chart: Chart, into: Path, exported: Exported) -> dict[str, Any]:
    # Hidden files, such as .env and .git, are left out: of those helm needs only .helmignore. Files of values, and
    # texts in `set`, are reported, because only helm knows what they render to.
    into.mkdir(parents=True)
    if chart.chart.is_file():
        _copy(chart.chart, into / chart.chart.name, chart.chart.parent, exported)
    for file in chart.chart.rglob("*"):
        place = file.relative_to(chart.chart)
        if file.name != ".helmignore" and any(part.startswith(".") for part in place.parts):
            exported.left_out.append(f"{file}: a hidden file")
        else:
            _copy(file, into / chart.chart.name / place, chart.chart, exported)
    values = {f"values-{number}.yaml": path for number, path in enumerate(chart.values, 1)}
    for name, path in values.items():
        shutil.copy(path, into / name)
        exported.carried.append(f"{path}: values of the chart {chart.name}")
    if texts := [key for key, value in chart.set.items() if isinstance(value, str)]:
        exported.carried.append(f"sandbox.yaml: {', '.join(texts)} of the chart {chart.name} (set)")
    copied = f"{MANIFESTS}/{into.name}"
    return {
        **chart.model_dump(mode="json", exclude_defaults=True),
        "chart": f"{copied}/{chart.chart.name}",
        "release": chart.name,
        **({"values": [f"{copied}/{name}" for name in values]} if values else {}),
    }


def _manifests(path: Path, place: Path, exported: Exported) -> str:
    (place if path.is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
    for file in manifests.files(path):
        _copy(file, place / file.relative_to(path), path if path.is_dir() else None, exported)
    return f"{place.parent.name}/{place.name}"


def _copy(file: Path, into: Path, within: Path | None, exported: Exported) -> None:
    if within and not is_inside(within, file):
        exported.left_out.append(f"{file}: a link to {os.path.realpath(file)}, outside the folder")
    elif file.is_file():
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, into)
        if SECRET.search(file.read_bytes()):
            exported.carried.append(f"{file}: a Secret")


def _images(spec: ResolvedSpec, manifest: Path, folder: Path) -> str:
    lock_file = LockFile.of(manifest)
    context.trust(spec)
    with Client(spec.registry.push_url, keychain=context.keychain(spec.credentials)) as client:
        taken = write_layout(client, [entry.target for entry in lock_file.entries], folder / IMAGES)
    entries = [{"from": "layout", "path": IMAGES, "image": str(each), "as": str(each)} for each in taken]
    _write(folder / "images.yaml", {"images": entries})
    locked = (
        Locked(target=str(target), origin=f"layout {IMAGES} {target}", source=digest, digest=digest)
        for target, digest in taken.items()
    )
    old = lock_file.read()
    lock = locks.lock_of(locked, old.compression) if old else locks.lock_of(locked)
    folder.joinpath("images.lock.yaml").write_text(locks.dump(lock), encoding="utf-8")
    return "images.yaml"


def _write(path: Path, data: Any) -> None:
    path.write_text(HEADER + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1 << 16), encoding="utf-8")
