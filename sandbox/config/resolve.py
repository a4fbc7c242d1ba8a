"""The spec of a sandbox: its file, the command line and the last `up`, merged and then validated once.

The last step, `ResolvedSpec.of` with the ports that this machine has free, is in `sandbox.app.edge.ports`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sandbox.config import loader
from sandbox.config.checkout import Checkout, of_folder, own_name
from sandbox.config.loader import FOLDER, PROJECT, RECORDED, Source
from sandbox.config.schema import Spec
from sandbox.config.schema.values import as_name, is_domain
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import BadFile

AnySpec = TypeVar("AnySpec", bound=Spec)
PortChoice = int | Literal["auto"]
# Chooses a name by the base name, which is written or that of the checkout, and the one with a worktree's branch.
Naming = Callable[[str, str], str]
# The keys that a spec without a provider takes from the existing sandbox.
MADE_WITH = ("provider", "profile", "context", "namespace")


@dataclass(frozen=True)
class Override:
    path: KeyPath
    value: Any
    option: str


def ports(https: Sequence[PortChoice], registry: PortChoice | None) -> Iterator[Override]:
    if https:
        yield Override(("edge", "ports"), "auto" if tuple(https) == ("auto",) else list(https), "--https-port")
    if registry:
        yield Override(("registry", "port"), registry, "--registry-port")


def load(
    path: Path,
    overrides: Sequence[Override] = (),
    *,
    called: str | None = None,
    naming: Naming = lambda base, own: own,
) -> Spec:
    """Return the spec in the file `path`, with paths relative to the file's folder made absolute. Raises UsageError.

    A spec without a name is named after its checkout, or the folder `called`, as far as that is a valid name. Unless an
    override is its name, `naming` chooses it: from the base name, and from the one of its own that a worktree has.
    """
    checkout = Checkout(called) if called else of_folder(Path(os.path.abspath(path.parent)))  # noqa: PTH100  # keeps links
    spec = loader.load(
        path,
        Spec,
        folder=Path(os.path.realpath(path.parent)),  # resolve() raises RuntimeError for a link to itself
        may_be_pipe=True,
        create="`sandbox init` writes one; -f FILE names another",
        amend=lambda source: _overridden(_named(source, checkout, overrides, naming), overrides),
    )
    if not spec.says("name"):
        raise BadFile(f"{path}: `name` is missing, and the folder's name cannot be used", fix="write `name: demo`")
    return spec


def changed(spec: AnySpec, overrides: Sequence[Override], *, called: str) -> AnySpec | Spec:
    """Return `spec` with other values, validated again and not resolved yet. Raises UsageError.

    Errors about values of no option name `called`.
    """
    if not overrides:
        return spec
    source = Source()
    for key, value in spec.model_dump(mode="json", exclude_defaults=True).items():
        source = source.merged((key,), value, spec.origin(key))
    return loader.validated(_overridden(source, overrides), Spec, origin=called)


def with_existing_cluster(spec: AnySpec, known: Spec | None) -> AnySpec:
    """Return `spec` with the cluster of the last `up`, from `known`, where it does not say how to make one.

    With an existing cluster comes the registry that is used with it, unless the spec names another.
    """
    if known is None or spec.says("cluster", "provider"):
        return spec
    made = {key: getattr(known.cluster, key) for key in MADE_WITH}
    update: dict[str, object] = {"cluster": spec.cluster.model_copy(update=made)}
    origins: dict[KeyPath, str] = {("cluster", key): RECORDED for key in MADE_WITH}
    if not known.cluster.supports.whole_cluster and not spec.says("registry", "external"):
        update["registry"] = spec.registry.model_copy(update={"external": known.registry.external})
        origins["registry", "external"] = RECORDED
    return spec.changed(update, origins)


def with_own_cluster(spec: AnySpec) -> AnySpec:
    return spec.changed({}, {("cluster", "provider"): PROJECT})


def with_bundle(spec: AnySpec) -> AnySpec:
    if spec.images.source != "auto":
        return spec
    images = spec.images.model_copy(update={"source": "bundle"})
    return spec.changed({"images": images}, {("images", "source"): PROJECT})


def _named(source: Source, checkout: Checkout, overrides: Sequence[Override], naming: Naming) -> Source:
    place = source.places.get(("name",))
    base = as_name(checkout.name) if place is None or place.is_blank else source.data["name"]
    if not isinstance(base, str) or not base or as_name(base) != base:
        return source  # refused where it is written
    own = own_name(base, checkout.branch) if checkout.branch else base
    name = next((each.value for each in overrides if each.path == ("name",)), None) or naming(base, own)
    domain = source.data.get("domain")
    if name != source.data.get("name"):
        source = source.merged(("name",), name, FOLDER)
    if name == base or as_name(name) != name or (domain and not is_domain(domain)):
        return source
    if domain:
        first, _, rest = domain.partition(".")
        source = source.merged(("domain",), f"{name}.{rest if first == base else domain}", FOLDER)
    if source.data.get("base_domain"):
        return source
    return source.merged(("base_domain",), domain or f"{base}.sandbox.localhost", FOLDER)


def _overridden(source: Source, overrides: Sequence[Override]) -> Source:
    for override in overrides:
        source = source.merged(override.path, override.value, override.option, is_option=True)
    return source
