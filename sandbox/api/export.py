"""Writes a sandbox as a folder that brings the same one up elsewhere: spec, manifests, images by digest, versions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox import __version__
from sandbox.api import world
from sandbox.errors import UsageError
from sandbox.host.engine import Engine
from sandbox.registry import lock as locks
from sandbox.registry.client import Client
from sandbox.registry.lock import Locked
from sandbox.registry.lockfile import LockFile
from sandbox.registry.takeout import take_out
from sandbox.registry.target import Target
from sandbox.spec import Settled

HEADER = "# Written by `sandbox export`. `sandbox up --from FOLDER` brings the same sandbox up.\n"
MANIFESTS, IMAGES, ADDONS = "k8s", "images", "addons"
# What belongs to a machine or to a person, with why it is not carried to others.
PERSONAL: Mapping[str, str] = {
    "credentials": "accounts are yours",
    "certs.default": "a private key is nobody else's",
    "network.proxy": "the way out is this machine's",
    "registry.storage": "the folder is this machine's",
    "registry.external": "the images are in the folder",
}


def export(spec: Settled, folder: Path, say: Callable[[str], None]) -> tuple[str, ...]:
    """Write the sandbox to `folder`, which must be new or empty; gives what was left out, in words.

    The images are those that its registry has under the names of its manifest. Raises SandboxError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty", fix="name a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made", details=str(error)) from error
    data = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data = {"apiVersion": spec.apiVersion, "name": spec.name, "domain": spec.domain, **data}
    left_out = tuple(f"{key}: {why}" for key, why in PERSONAL.items() if _dropped(data, key.split(".")))
    if spec.apply:
        say("manifests")
        data["apply"] = [_copied(path, folder / MANIFESTS, number) for number, path in enumerate(spec.apply, 1)]
    if spec.addons:
        data["addons"] = [_addon(one, folder / ADDONS) for one in data["addons"]]
    if spec.push:
        say("images")
        data["push"] = _images(spec, spec.push, folder)
    _write(folder / "sandbox.yaml", data)
    _write(folder / "versions.yaml", _versions(spec))
    return left_out


def _dropped(data: dict[str, Any], path: list[str]) -> bool:
    """Whether there was something at `path`, which is gone then."""
    *parents, key = path
    for parent in parents:
        data = data.get(parent) or {}
    return data.pop(key, None) is not None


def _copied(path: Path, into: Path, number: int) -> str:
    """Copy a file or folder of manifests; the number keeps the order, and names apart. Gives its path in the spec."""
    place = into / f"{number}-{path.name or 'manifests'}"
    into.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, place)
    else:
        shutil.copyfile(path, place)
    return f"{into.name}/{place.name}"


def _addon(one: dict[str, Any], into: Path) -> dict[str, Any]:
    """An addon as it is written in the spec, its own folder, if it has one, copied."""
    source = Path(one["addon"])
    if "/" not in one["addon"]:
        return one
    shutil.copytree(source, into / source.name)
    return {**one, "addon": f"./{into.name}/{source.name}"}


def _images(spec: Settled, manifest: Path, folder: Path) -> str:
    """Take the images out of the registry, and write the manifest and the lock that put them into another."""
    known = LockFile.of(manifest)
    url = spec.registry.external or f"http://127.0.0.1:{spec.registry.port}"
    with Client(url, keychain=world.keychain(spec.credentials)) as client:
        taken = take_out(client, [entry.target for entry in known.entries], folder / IMAGES)
    entries = [{"from": "layout", "path": IMAGES, "image": str(one), "as": str(one)} for one in taken]
    _write(folder / "images.yaml", {"images": entries})
    lock, old = locks.of(_locked(target, digest) for target, digest in taken.items()), known.read()
    if old is not None:
        lock = lock.model_copy(update={"compression": old.compression})
    folder.joinpath("images.lock.yaml").write_text(locks.dump(lock))
    return "images.yaml"


def _locked(target: Target, digest: str) -> Locked:
    origin = f"layout {IMAGES} {target}"
    return Locked.model_validate({"target": str(target), "from": origin, "source": digest, "digest": digest})


def _versions(spec: Settled) -> dict[str, Any]:
    """What the sandbox was made with, for people who wonder why theirs differs."""
    engine = Engine.connect()
    own = world.own_images(spec, world.home(), engine)
    images = {name: {"reference": one, "id": engine.image_id(one)} for name, one in sorted(own.references.items())}
    return {"sandbox": __version__, "kubernetes": own.kubernetes, "engine": engine.version, "images": images}


def _write(path: Path, data: Any) -> None:
    path.write_text(HEADER + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1 << 16))
