"""What a project's folder was found to have, as far as a sandbox can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.config.schema.values import as_name


def label(text: str) -> str:
    """The text as a name that Kubernetes takes (RFC 1123 label, short); `app` where nothing of it is left."""
    return as_name(text) or "app"


@dataclass(frozen=True)
class App:
    """One program of the project: an image that is built from `context`, or one that is there already.

    `port` is the one it listens on, if that is known; `left_out` names what its compose service has and objects that
    are made from it lack.
    """

    name: str
    context: str | None = None
    image: str | None = None
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A folder as seen; paths are relative to it and end in a slash where they are folders.

    `hosts` are those of the manifests' Ingresses, `images` those of their containers, `rendered` what has to be
    rendered first (a kustomization or a chart) and the command that does it.
    """

    apps: tuple[App, ...] = ()
    manifests: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    rendered: Mapping[str, str] = field(default_factory=dict)
