"""A registry that images come from, as a mirror must know it: its name in images and the URL behind that name."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.oci.reference import DOCKER_HUB

# Docker Hub's registry is not at the name that its images have.
_ELSEWHERE = {DOCKER_HUB: "https://registry-1.docker.io"}


@dataclass(frozen=True)
class Upstream:
    """`name` is the first part of its images' names, `url` where it answers."""

    name: str
    url: str


def parse(text: str) -> Upstream:
    """Read `HOST[:PORT]`, which is spoken to by https, or a URL of that, which may also say http."""
    scheme, _, name = text.rpartition("://")
    return Upstream(name, _ELSEWHERE.get(name) or f"{scheme or 'https'}://{name}")
