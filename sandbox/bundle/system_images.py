"""The system images: the images that a sandbox is made of, and where this machine gets them from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import VERSIONED, Recipe, minor, recipes, versions
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home
from sandbox.system import files, process

if TYPE_CHECKING:
    from sandbox.config.schema import Cluster, Spec

# Published images by digest.
NODES: Mapping[str, str] = {
    version: f"docker.io/kindest/node:{version}@{digest}" for version, digest in versions().upstream.items()
}
UPSTREAM: Mapping[str, str] = {"node": next(iter(NODES.values())), **versions().images}
IN_PODS = ("traefik", "busybox")
IN_ENGINE = ("node", "registry", "haproxy", "busybox")
BALANCER = "balancer"  # the balancer of several control planes
# What `up` may need of the bundle; addons and demos may need more, which you build when you use them.
NEEDED = (*IN_ENGINE, "kind", "gateway-api", "layer-reader")
PREFIX = published.PREFIX
# Stable names, for Dockerfiles that need a small base image on every machine.
ALIASES: Mapping[str, str] = {name: f"{PREFIX}{name}:latest" for name in ("busybox", "haproxy")}


@dataclass(frozen=True)
class OwnImages:
    """The chosen source, and each component's reference: in the engine and, for traefik and busybox, in the cluster.

    `published` are those that are pulled, where the references are names on this machine.
    """

    source: Literal["bundle", "upstream"]
    references: Mapping[str, str]
    published: Mapping[str, str] = field(default_factory=dict)

    @property
    def kubernetes(self) -> str:
        """Return the Kubernetes version of the node image."""
        if self.source == "bundle":
            return self.recipe("node").version
        reference = self.published.get("node") or self.references["node"]
        return reference.partition("@")[0].rpartition(":")[2]

    def require(self, kubernetes: str | None) -> None:
        """Raise UsageError if the node image does not have the version `kubernetes`."""
        if kubernetes in (None, self.kubernetes):
            return
        known, built = ", ".join(NODES), ", ".join(bundled_nodes())
        if self.source == "upstream":
            raise _unknown(str(kubernetes))
        raise UsageError(
            f"Kubernetes {kubernetes} is not in the bundle",
            details=f"the bundle's node image runs {self.kubernetes}; it can be built with {built}",
            fix=f"write `kubernetes: {self.kubernetes}` in the spec's `cluster`, or leave it out; if you can reach "
            f"an image registry, `images: {{source: upstream}}` has {known}",
        )

    def recipe(self, component: str) -> Recipe:
        """Return how the bundle's component is built, in the version that was chosen."""
        usual, reference = recipes()[component], self.references.get(component)
        if usual.reference == reference:
            return usual
        return next((one for one in recipes().values() if one.base == component and one.reference == reference), usual)


def require_known(kubernetes: str | None) -> None:
    """Raise UsageError if there is no node image of Kubernetes `kubernetes`, neither published nor to be built."""
    if kubernetes not in (None, *NODES, *bundled_nodes()):
        raise _unknown(str(kubernetes))


def _unknown(kubernetes: str) -> UsageError:
    import difflib  # of no use to commands that go well

    near = difflib.get_close_matches(kubernetes, NODES, 1)
    return UsageError(
        f"there is no known node image of Kubernetes {kubernetes}",
        details=f"known: {', '.join(NODES)}; the bundle can be built with {', '.join(bundled_nodes())}",
        fix=f"did you mean `kubernetes: {near[0]}`?" if near else "use one of these in the spec's `cluster`",
    )


def bundled_nodes() -> Mapping[str, Recipe]:
    """Return how the bundle's node images are built, by their Kubernetes, the newest first."""
    nodes = {one.version: one for one in recipes().values() if one.node}
    return dict(sorted(nodes.items(), key=lambda item: [int(part) for part in item[0][1:].split(".")], reverse=True))


def with_kubernetes(names: Iterable[str], kubernetes: str) -> tuple[str, ...]:
    """Return the components `names` in their versions for a Kubernetes such as 1.35 or v1.35.4. Raises UsageError."""
    number = minor(kubernetes)
    node = next((one for one in bundled_nodes().values() if minor(one.version) == number), None)
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
) -> OwnImages:
    """Choose the bundle if the engine or the cache has all of its images, otherwise the upstream images.

    `has` tells whether the engine has an image. `kubernetes` is the wanted version of the nodes, which `require`
    checks. `components` are those that must be in the engine. `mirrors` are asked in place of registries; the digests
    stay. Raises SandboxError if `wanted` is the bundle and it is not built.
    """
    pulled = {**UPSTREAM, "node": NODES.get(kubernetes or "", UPSTREAM["node"])}
    upstream = OwnImages("upstream", {name: published.mirrored(one, mirrors or {}) for name, one in pulled.items()})
    bundled = {name: recipes()[name] for name in UPSTREAM}
    if kubernetes:
        bundled["node"] = bundled_nodes().get(kubernetes, bundled["node"])
    if wanted == "upstream":
        return upstream
    missing = [name for name in components if not has(bundled[name].reference) and not store.has(bundled[name])]
    if not missing:
        return OwnImages("bundle", {name: one.reference for name, one in bundled.items()})
    if missing == ["node"] and bundled["node"].base and (wanted == "bundle" or kubernetes not in NODES):
        raise SandboxError(
            f"the bundle is not built with Kubernetes {kubernetes}",
            fix=f"sandbox bundle build --kubernetes {minor(bundled['node'].version)}",
            id="no-bundle",
        )
    if missing == [BALANCER]:
        raise SandboxError(
            "the bundle lacks the load balancer of several control planes",
            fix=f"sandbox bundle build {BALANCER}, or, where an image registry can be reached, "
            "`images: {source: upstream}`",
            id="no-bundle",
        )
    if wanted == "bundle":
        raise SandboxError("the bundle is not built", fix="sandbox bundle build", id="no-bundle")
    return upstream


def for_spec(spec: Spec, home: Home, engine: Engine) -> OwnImages:
    """Return where the sandbox of `spec` has its images from, by what the engine and the cache have now."""
    own = choose(
        spec.images.source,
        lambda name: engine.image_id(name) is not None,
        Store(home.bundle),
        spec.cluster.kubernetes,
        in_engine(spec.cluster),
        spec.images.mirrors,
    )
    return prepared(own) if own.source == "upstream" and spec.cluster.supports.node_image else own


def prepared(own: OwnImages) -> OwnImages:
    """Return the published images as nodes of this machine have them, all in the node image, so that nodes pull none.

    They get names on this machine, which identify what they are made from.
    """
    names = {one: published.local_name(one, own.references[one]) for one in IN_PODS}
    made_of = [own.references[one] for one in ("node", *IN_PODS)]
    names["node"] = f"{PREFIX}node:{own.kubernetes}-{machine_node.tag(made_of)}"
    return OwnImages("upstream", {**own.references, **names}, published=own.references)


def in_engine(cluster: Cluster) -> tuple[str, ...]:
    """Return the components that must be in the engine for such a cluster."""
    if not cluster.supports.node_image:
        return tuple(name for name in IN_ENGINE if name != "node")
    return (*IN_ENGINE, BALANCER) if cluster.nodes.control_plane > 1 else IN_ENGINE


def further(names: Iterable[str]) -> tuple[Recipe, ...]:
    """Return the components with the names `sandbox.dev/NAME` that `up` does not need by itself."""
    called = dict.fromkeys(name.removeprefix(PREFIX).removesuffix(":latest") for name in names if PREFIX in name)
    found = (recipes()[name] for name in called if name in recipes() and name not in IN_ENGINE)
    return tuple(recipe for recipe in found if recipe.image)


def buildx(store: Store) -> Path | None:
    """Return the bundle's buildx; None where it was not built."""
    return store.tool(recipes()["buildx"], "buildx")


def layer_reader(engine: Engine, store: Store) -> str | None:
    """Return the image of the program that reads the engine's folders, loaded, and built where there is Go.

    A build takes a quarter of a minute, once. None without the image and without Go. Raises SandboxError.
    """
    recipe = recipes()["layer-reader"]
    if engine.image_id(recipe.reference) is None:
        if not store.has(recipe):
            if process.which("go") is None:
                return None
            from sandbox.bundle.builder.component_build import build_one

            files.make_private_dir(store.root)
            with files.exclusive(store.root):
                if not store.has(recipe):
                    build_one(recipe, store)
        engine.load(store.image(recipe))
    return recipe.reference
