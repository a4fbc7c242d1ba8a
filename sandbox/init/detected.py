"""What `init` detects in a project's folder."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from sandbox.config.schema.values import as_name

# What `init` writes; objects into a folder.
SPEC, IMAGES, OBJECTS = "sandbox.yaml", "images.yaml", "k8s"
LOCK = "images.lock.yaml"  # which `up` writes
IGNORED = ".dockerignore"
# An entry of `apply`: a file, a folder (with a slash), or a chart.
Item = str | Mapping[str, Any]


def label(text: str) -> str:
    """Return the text as a short name that Kubernetes accepts (RFC 1123 label); `app` if nothing of it is left."""
    return as_name(text) or "app"


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Return each text with its label, numbered where two would have the same; a text that is one already keeps it."""
    originals = tuple(texts)
    names = {text: text for text in originals if label(text) == text}
    for text in originals:
        if text not in names:
            names[text] = numbered(label(text), names.values())
    return names


def numbered(name: str, taken: Collection[str]) -> str:
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def untagged(image: str) -> str:
    head, colon, tag = image.rpartition(":")
    return head if colon and "/" not in tag else image


def last_part(image: str) -> str:
    return PurePosixPath(untagged(image.partition("@")[0])).name


def is_called(image: str, program: str) -> bool:
    return bool(re.fullmatch(rf"(.*[-_.])?{re.escape(program)}", last_part(image)))


def short_list(names: Sequence[str]) -> str:
    return ", ".join(names[:9]) + (f" and {len(names) - 9} more" if len(names) > 9 else "")


def build_options(dockerfile: Any, target: Any, args: Any) -> tuple[dict[str, Any], list[str]]:
    arguments = {str(key): value for key, value in args.items()} if isinstance(args, Mapping) else {}
    valued = {
        key: as_text(value)
        for key, value in arguments.items()
        if value is not None and "{{" not in str(value) and "$" not in str(value)
    }
    file = str(dockerfile or "Dockerfile").removeprefix("./")
    optional = {"dockerfile": "" if file == "Dockerfile" else file, "target": str(target or ""), "args": valued}
    options = {key: value for key, value in optional.items() if value}
    return options, [key for key in arguments if key not in valued]


def chart_item(
    chart: str, release: str, namespace: str, files: Sequence[str], values: Mapping[str, Any]
) -> dict[str, Any]:
    optional = {"namespace": namespace, "values": files, "set": values}
    return {"chart": chart, "release": label(release), **{key: value for key, value in optional.items() if value}}


def as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Ports of databases, mail servers and the like, which users do not open in a browser.
NOT_HTTP = {22, 25, 53, 1025, 1433, 1521, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017}


@dataclass(frozen=True)
class Mount:
    """Text files of the project that a container reads at `place`: a `single` one, or those of a folder.

    With a `name` they are a ConfigMap or Secret that all programs share.
    """

    place: str
    files: Mapping[str, str]
    single: bool = False
    name: str = ""
    secret: bool = False


@dataclass(frozen=True)
class App:
    """A program of the project: an image that is built from `context`, or an existing `image`.

    `port` is the one its Ingress leads to, `more_ports` have their protocols (tcp or udp). `command` and `args` replace
    those of the image, `check` is a command that succeeds when the program is ready. `once`: it ends, and is a Job.
    `user` is UID or UID:GID, `claims` are volumes by their places, `names` what manifests call its image. `build` is
    what images.yaml has of its build besides the context, `recipe` the text of a Dockerfile that is written for it.
    `left_out` are settings of its compose service that its objects lack.
    """

    name: str
    context: str | None = None
    image: str | None = None
    port: int | None = None
    more_ports: tuple[tuple[int, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    once: bool = False
    folder: str = ""
    user: str = ""
    terminal: tuple[str, ...] = ()
    replicas: int | None = None
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    build: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolFile:
    apps: tuple[App, ...] = ()
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    profiles: frozenset[str] = frozenset()
    project: str = ""


@dataclass(frozen=True)
class Front:
    name: str
    namespace: str
    port: int


@dataclass(frozen=True)
class Findings:
    """The content of a folder; paths are relative to it, with a slash at the end of folders.

    `items` are what is applied, `hosts` those of its Ingresses, `images` those of its containers. `project` is what the
    compose file calls it. `objects` is the folder for objects that are written. `unfiltered`: an image is built from
    the whole folder, which has no .dockerignore.
    """

    apps: tuple[App, ...] = ()
    items: tuple[Item, ...] = ()
    hosts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    fronts: tuple[Front, ...] = ()
    notes: tuple[str, ...] = ()
    project: str = ""
    objects: str = OBJECTS
    unfiltered: bool = False
    needs_gateway_api: bool = False
