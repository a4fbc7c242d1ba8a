"""The system images: the images that a sandbox is made of, and where this machine gets them from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import VERSIONED, Recipe, fits, minor, recipes, versions
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home

if TYPE_CHECKING:
    from sandbox.config.schema import Cluster, Spec

Source = Literal["bundle", "upstream"]
# Published images by digest.
NODES: Mapping[str, str] = {
    version: f"docker.io/kindest/node:{version}@{digest}" for version, digest in versions().upstream.items()
}
# The default is of the minor that the bundle is built with, so that it does not depend on where images come from.
DEFAULT = next((tag for tag in NODES if minor(tag) == minor(recipes()["node"].version)), next(iter(NODES)))
UPSTREAM: Mapping[str, str] = {"node": NODES[DEFAULT], **versions().images}
IN_PODS = ("traefik", "busybox")
IN_ENGINE = ("node", "registry", "haproxy", "busybox")
BALANCER = "balancer"  # the balancer of several control planes
# What `up` may need of the bundle; addons and demos may need more, which you build when you use them.
NEEDED = (*IN_ENGINE, "kind", "gateway-api")
PREFIX = published.PREFIX
# Stable names, for Dockerfiles that need a small base image on every machine.
ALIASES: Mapping[str, str] = {name: f"{PREFIX}{name}:latest" for name in ("busybox", "haproxy")}


@dataclass(frozen=True)
class OwnImages:
    """The chosen source, and each component's reference: in the engine and, for traefik and busybox, in the cluster.

    `published` are those that are pulled, where the references are names on this machine.
    """

    source: Source
    references: Mapping[str, str]
    published: Mapping[str, str] = field(default_factory=dict)

    @property
    def kubernetes(self) -> str:
        if self.source == "bundle":
            return self.recipe("node").version
        return self.pulled("node").partition("@")[0].rpartition(":")[2]

    def pulled(self, component: str) -> str:
        return self.published.get(component) or self.references[component]

    def require(self, kubernetes: str | None) -> None:
        if fits(self.kubernetes, kubernetes):
            return
        if self.source == "upstream":
            raise _unknown(str(kubernetes))
        raise UsageError(
            f"Kubernetes {kubernetes} is not in the bundle",
            details=f"its node image runs {self.kubernetes}; it can be built with {', '.join(bundled_nodes())}",
            fix=f"write `kubernetes: v{minor(self.kubernetes)}` in the spec's `cluster`; if you can reach an image "
            f"registry, `images: {{source: upstream}}` has {', '.join(NODES)}",
        )

    def recipe(self, component: str) -> Recipe:
        others = (recipe for recipe in recipes().values() if recipe.base == component)
        chosen = (recipe for recipe in others if recipe.reference == self.references.get(component))
        return next(chosen, recipes()[component])


def require_known(kubernetes: str | None) -> None:
    if not any(fits(version, kubernetes) for version in (*NODES, *bundled_nodes())):
        raise _unknown(str(kubernetes))


def _unknown(kubernetes: str) -> UsageError:
    return UsageError(
        f"there is no published node image of Kubernetes {kubernetes}",
        details=f"published: {', '.join(NODES)}; the bundle can be built with {', '.join(bundled_nodes())}",
        fix="use one of these in the spec's `cluster`",
    )


def bundled_nodes() -> Mapping[str, Recipe]:
    nodes = {recipe.version: recipe for recipe in recipes().values() if recipe.node}
    return dict(sorted(nodes.items(), key=lambda item: [int(part) for part in item[0][1:].split(".")], reverse=True))


def with_kubernetes(names: Iterable[str], kubernetes: str) -> tuple[str, ...]:
    """Return the components `names` in their versions for a Kubernetes such as 1.35 or v1.35.4. Raises UsageError."""
    number = minor(kubernetes)
    node = next((recipe for version, recipe in bundled_nodes().items() if minor(version) == number), None)
    if node is None or kubernetes.removeprefix("v") not in (number, node.version.removeprefix("v")):
        raise UsageError(
            f"the bundle cannot be built with Kubernetes {kubernetes}",
            details=f"it can with {', '.join(bundled_nodes())}",
        )
    return tuple(f"{name}-{number}" if name in VERSIONED and node.base else name for name in names)


def choose(
    wanted: Literal["auto", "bundle", "upstream"],
    has: Callable[[str], bool],
    store: Store,
    kubernetes: str | None = None,
    components: Iterable[str] = IN_ENGINE,
    mirrors: Mapping[str, str] | None = None,
    *,
    prepare: bool = False,
    made_from: Source | None = None,
    can_pull: Callable[[str], bool] = lambda _: False,
) -> OwnImages:
    """Return the system images of a sandbox.

    `bundle` and `upstream` are taken literally. `auto` takes the first of these that has the wanted Kubernetes:

    1. the source that the existing sandbox was made from (`made_from`);
    2. the published images, if the engine has them all;
    3. the published images, if their registry answers (`can_pull`, which is only called when the bundle could be used);
    4. the bundle, if the engine or the cache has all of its images;
    5. the published images, whose pull then fails with the reason.

    `has` returns whether the engine has an image. `kubernetes` is what the spec says of the nodes, which `require`
    checks. `components` are those that must be in the engine. `mirrors` are asked in place of registries; the digests
    stay. With `prepare` nodes are made as by `prepared`. Raises SandboxError if the images have to be built first.
    """
    version = next((tag for tag in (DEFAULT, *NODES) if fits(tag, kubernetes)), None)
    pulled = {**UPSTREAM, "node": NODES[version or DEFAULT]}
    upstream = OwnImages("upstream", {name: published.mirrored(ref, mirrors or {}) for name, ref in pulled.items()})
    upstream = prepared(upstream) if prepare else upstream
    if wanted == "upstream" or (wanted == "auto" and made_from == "upstream" and version):
        return upstream
    bundled = {name: recipes()[name] for name in UPSTREAM}
    if not fits(bundled["node"].version, kubernetes):
        others = (recipe for tag, recipe in bundled_nodes().items() if fits(tag, kubernetes))
        bundled["node"] = next(others, bundled["node"])
    missing = [name for name in components if not has(bundled[name].reference) and not store.has(bundled[name])]
    kept = made_from == "bundle" and not missing and fits(bundled["node"].version, kubernetes)
    if wanted == "auto" and version and not kept:
        absent = [upstream.pulled(name) for name in components if not has(upstream.references[name])]
        absent = [reference for reference in absent if not has(reference)]
        if not absent or len(missing) > 1 or can_pull(absent[0]):
            return upstream
    if not missing:
        return OwnImages("bundle", {name: recipe.reference for name, recipe in bundled.items()})
    if wanted == "bundle" or missing == [BALANCER] or (missing == ["node"] and bundled["node"].base):
        names = " ".join(bundled[name].name for name in missing)
        raise SandboxError(
            "the bundle is not complete",
            details=f"not built: {names}",
            fix=f"sandbox bundle build {names}; or, where an image registry answers, `images: {{source: upstream}}`",
            id="no-bundle",
        )
    return upstream


def for_spec(spec: Spec, home: Home, engine: Engine) -> OwnImages:
    names = home.sandbox(spec.name)
    node, registry = engine.container(names.node), engine.container(names.registry)
    made_from: Source | None = None
    if node:
        made_from = "upstream" if machine_node.LABEL in node.labels else "bundle"
    elif registry and registry.image == engine.image_id(recipes()["registry"].reference):  # minikube makes its nodes
        made_from = "bundle"
    return choose(
        spec.images.source,
        lambda name: engine.image_id(name) is not None,
        Store(home.bundle),
        spec.cluster.kubernetes,
        in_engine(spec.cluster),
        spec.images.mirrors,
        prepare=spec.cluster.supports.node_image,
        made_from=made_from,
        can_pull=engine.can_pull,
    )


def prepared(own: OwnImages) -> OwnImages:
    """Return the published images as nodes of this machine have them, all in the node image, so that nodes pull none.

    They get names on this machine, which identify what they are made from.
    """
    names = {component: published.local_name(component, own.references[component]) for component in IN_PODS}
    made_of = [own.references[component] for component in ("node", *IN_PODS)]
    names["node"] = f"{PREFIX}node:{own.kubernetes}-{machine_node.tag(made_of)}"
    return OwnImages("upstream", {**own.references, **names}, published=own.references)


def in_engine(cluster: Cluster) -> tuple[str, ...]:
    if not cluster.supports.node_image:
        return tuple(name for name in IN_ENGINE if name != "node")
    return (*IN_ENGINE, BALANCER) if cluster.nodes.control_plane > 1 else IN_ENGINE


def further(names: Iterable[str]) -> tuple[Recipe, ...]:
    stripped = dict.fromkeys(name.removeprefix(PREFIX).removesuffix(":latest") for name in names if PREFIX in name)
    components = (recipes()[name] for name in stripped if name in recipes() and name not in IN_ENGINE)
    return tuple(recipe for recipe in components if recipe.image)


def buildx(store: Store) -> Path | None:
    return store.tool(recipes()["buildx"], "buildx")
