"""The spec of a sandbox: its file, the command line and the last `up`, merged and then validated once.

The last step, `ResolvedSpec.of` with the ports that this machine has free, is in `sandbox.app.ports`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from sandbox.config import loader
from sandbox.config.schema import KeyPairFiles, Spec
from sandbox.config.schema.apply_schema import below
from sandbox.config.schema.values import as_name
from sandbox.config.yaml_source import Giver, Source, ValueOrigin
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import BadFile

AnySpec = TypeVar("AnySpec", bound=Spec)
PortChoice = int | Literal["auto"]
# The keys that a spec without a provider takes from the existing sandbox.
MADE_WITH = ("provider", "profile", "context", "namespace")


@dataclass(frozen=True)
class Override:
    """A value that replaces the file's; `option` is named in errors about it."""

    path: KeyPath
    value: Any
    option: str


def ports(https: Sequence[PortChoice], registry: PortChoice | None) -> Iterator[Override]:
    """Yield the overrides of `--https-port`, which may be given several times, and `--registry-port`."""
    if https:
        yield Override(("edge", "ports"), "auto" if tuple(https) == ("auto",) else list(https), "--https-port")
    if registry:
        yield Override(("registry", "port"), registry, "--registry-port")


def load(path: Path, overrides: Sequence[Override] = (), *, called: str | None = None) -> Spec:
    """Return the spec in the file `path`, with paths relative to the file's folder made absolute. Raises UsageError.

    A spec without a name is named after its folder, or the folder `called`, as far as that is a valid name.
    """
    name = as_name(called or Path(os.path.abspath(path.parent)).name)  # noqa: PTH100  # links are not followed
    spec = loader.load(
        path,
        Spec,
        create="`sandbox init` writes one; -f FILE names another",
        amend=partial(_amended, name=name, overrides=overrides),
    )
    if not spec.says("name"):
        raise BadFile(f"{path}: `name` is missing, and the folder's name cannot be used", fix="write `name: demo`")
    return _absolute(spec, _folder(path))


def changed(spec: AnySpec, overrides: Sequence[Override], *, called: str) -> AnySpec | Spec:
    """Return `spec` with other values, validated again and not resolved yet. Raises UsageError.

    Errors about values of no option name `called`.
    """
    if not overrides:
        return spec
    source = Source()
    for key, value in spec.model_dump(mode="json", exclude_defaults=True).items():
        source = source.merged((key,), value, spec.origin(key).giver)
    return loader.validated(_amended(source, overrides=overrides), Spec, origin=called)


def with_existing_cluster(spec: AnySpec, known: Spec | None) -> AnySpec:
    """Return `spec` with the cluster of the last `up`, from `known`, where it does not say how to make one.

    With an existing cluster comes the registry that is used with it, unless the spec names another.
    """
    if known is None or spec.says("cluster", "provider"):
        return spec
    recorded = ValueOrigin(Giver.RECORDED)
    made = {key: getattr(known.cluster, key) for key in MADE_WITH}
    update: dict[str, object] = {"cluster": spec.cluster.model_copy(update=made)}
    origins: dict[KeyPath, ValueOrigin] = {("cluster", key): recorded for key in MADE_WITH}
    if not known.cluster.supports.whole_cluster and not spec.says("registry", "external"):
        update["registry"] = spec.registry.model_copy(update={"external": known.registry.external})
        origins["registry", "external"] = recorded
    return spec.changed(update, origins)


def with_own_cluster(spec: AnySpec) -> AnySpec:
    """Return `spec`, which others wrote, with its own provider: it takes nothing from the last `up`."""
    return spec.changed({}, {("cluster", "provider"): ValueOrigin(Giver.FILE, "the project")})


def with_bundle(spec: AnySpec) -> AnySpec:
    """Return `spec`, which came in a bundle, with the system images of the bundle, unless it says `upstream`."""
    if spec.images.source != "auto":
        return spec
    images = spec.images.model_copy(update={"source": "bundle"})
    return spec.changed({"images": images}, {("images", "source"): ValueOrigin(Giver.FILE, "the project")})


def _amended(source: Source, *, name: str | None = None, overrides: Sequence[Override]) -> Source:
    at = source.places.get(("name",))
    if name and (at is None or at.blank):
        source = source.merged(("name",), name, Giver.FOLDER)
    for one in overrides:
        source = source.merged(one.path, one.value, Giver.OPTION, one.option)
    return source


def _folder(path: Path) -> Path:
    """Return the folder of a file, absolute, and the same from wherever it is named: without `..`, unless of a link."""
    whole = path.parent.absolute()
    plain = Path(os.path.normpath(whole))
    return plain if plain.exists() and plain.samefile(whole) else whole


def _absolute(spec: Spec, folder: Path) -> Spec:
    default = spec.certs.default and KeyPairFiles(
        cert=folder / spec.certs.default.cert, key=folder / spec.certs.default.key
    )
    storage = spec.registry.storage and folder / spec.registry.storage
    ca = folder / spec.network.ca if isinstance(spec.network.ca, Path) else spec.network.ca
    return spec.model_copy(
        update={
            "certs": spec.certs.model_copy(update={"default": default}),
            "registry": spec.registry.model_copy(update={"storage": storage}),
            "network": spec.network.model_copy(update={"ca": ca}),
            "credentials": tuple(
                entry.model_copy(update={"file": folder / entry.file}) if entry.file else entry
                for entry in spec.credentials
            ),
            "cluster": spec.cluster.model_copy(
                update={
                    "mounts": tuple(one.model_copy(update={"host": folder / one.host}) for one in spec.cluster.mounts)
                }
            ),
            "push": folder / spec.push if spec.push else None,
            "addons": tuple(each.below(folder) for each in spec.addons),
            "apply": tuple(below(folder, each) for each in spec.apply),
        }
    )
