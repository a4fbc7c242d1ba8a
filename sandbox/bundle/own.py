"""The sandbox's own images: which they are, and where they come from on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError

# What each component is upstream, by digest: the tag is for people, the digest is what is pulled.
UPSTREAM: Mapping[str, str] = {
    "node": "docker.io/kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
    "registry": "docker.io/library/registry:3.1.1"
    "@sha256:1be55279f18a2fe1a74edf2664cac61c1bea305b7b4642dab412e7affdcb3e33",
    "haproxy": "docker.io/library/haproxy:3.2-alpine"
    "@sha256:79799e8b2977e60802774fa53d29e6b54e045402cdd8a8b9fe43923e7095a047",
    "busybox": "docker.io/library/busybox:1.37.0"
    "@sha256:9db7b59979c38555a39def84a31fb98b5296952f9e3afd4f6f11f05b07adfab0",
    "traefik": "docker.io/library/traefik:v3.6.12"
    "@sha256:171c9c3565b29f6c133f1c1b43c5d4e5853415198e9e1078c001f8702ff66aec",
}
IN_ENGINE = ("node", "registry", "haproxy", "busybox")
# What `up` may need of the bundle; addons and demos may need more, which is built by who wants them.
NEEDED = (*IN_ENGINE, "kind", "gateway-api")
# Stable names, for Dockerfiles that want a small base which is there on every machine.
ALIASES: Mapping[str, str] = {"busybox": "sandbox.dev/busybox:latest", "haproxy": "sandbox.dev/haproxy:latest"}


@dataclass(frozen=True)
class OwnImages:
    """The chosen source, and each component's reference in the engine and, for traefik and busybox, in the cluster."""

    source: Literal["bundle", "upstream"]
    references: Mapping[str, str]

    @property
    def kubernetes(self) -> str:
        """The version that the node image runs."""
        return recipes()["node"].version if self.source == "bundle" else UPSTREAM["node"].split(":")[1].split("@")[0]


def choose(wanted: Literal["auto", "bundle", "upstream"], has: Callable[[str], bool], store: Store) -> OwnImages:
    """Decide where the images come from: what the engine has, else the bundle in the cache, else their upstreams.

    `has` says whether the engine has an image. Raises SandboxError when only the bundle is wanted and is not built.
    """
    bundled = {name: recipes()[name].reference for name in UPSTREAM}
    if wanted == "upstream":
        return OwnImages("upstream", UPSTREAM)
    if all(has(bundled[name]) or store.has(recipes()[name]) for name in IN_ENGINE):
        return OwnImages("bundle", bundled)
    if wanted == "bundle":
        raise SandboxError("the bundle is not built", fix="sandbox bundle build", id="no-bundle")
    return OwnImages("upstream", UPSTREAM)
