"""The result of detection in a project's folder, as far as a sandbox can use it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from sandbox.config.schema.values import MAX_NAME, as_name

# What `init` writes; objects into a folder.
SPEC, IMAGES, OBJECTS = "sandbox.yaml", "images.yaml", "k8s"
LOCK = "images.lock.yaml"  # which `up` writes
# What engines leave out of the folder that they build.
IGNORED = ".dockerignore"
# An entry of `apply`: a file, a folder (with a slash), or a chart.
Item = str | Mapping[str, Any]


def once(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return each of the items once; a chart is a mapping, which no set can have."""
    found: list[Item] = []
    for item in items:
        if item not in found:
            found.append(item)
    return tuple(found)


def label(text: str) -> str:
    """Return the text as a name that Kubernetes accepts (RFC 1123 label, short); `app` if nothing of it is left.

    A longer text is cut and ends in a part of its digest, so that texts which begin alike have different names.
    """
    whole = as_name(spelled(text), most=None)
    if len(whole) <= MAX_NAME:
        return whole or "app"
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{whole[: MAX_NAME - len(digest) - 1].strip('-')}-{digest}"


def spelled(text: str) -> str:
    """Return the text with letters that have no accent in place of those that have one."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one))


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Return each text with its label, numbered where two would have the same; a text that is one already keeps it."""
    given = tuple(texts)
    found = {text: text for text in given if label(text) == text}
    for text in given:
        if text not in found:
            found[text] = numbered(label(text), found.values())
    return found


def numbered(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number at its end where it is taken."""
    return next(one for number in count(1) if (one := name if number == 1 else f"{name}-{number}") not in taken)


def untagged(image: str) -> str:
    """Return the name of an image without its tag."""
    head, colon, tag = image.rpartition(":")
    return head if colon and "/" not in tag else image


def last_part(image: str) -> str:
    """Return the last part of an image's name, without its tag and digest."""
    return PurePosixPath(untagged(image.partition("@")[0])).name


def is_called(image: str, program: str) -> bool:
    """Tell whether an image may be the program's: the last part of its name is the program's, or ends in it."""
    return bool(re.fullmatch(rf"(.*[-_.])?{re.escape(program)}", last_part(image)))


def build_options(dockerfile: Any, target: Any, args: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the build options, as in images.yaml, and the names of arguments without a value of their own."""
    given = {str(key): value for key, value in args.items()} if isinstance(args, Mapping) else {}
    known = {key: as_text(one) for key, one in given.items() if one is not None and not _is_template(str(one))}
    file = str(dockerfile or "Dockerfile").removeprefix("./")
    options = {
        **({"dockerfile": file} if file != "Dockerfile" else {}),
        **({"target": str(target)} if target else {}),
        **({"args": known} if known else {}),
    }
    return options, [key for key in given if key not in known]


def as_text(value: Any) -> str:
    """Return what a program is given for a value of YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_template(text: str) -> bool:
    return "{{" in text or "$" in text


@dataclass(frozen=True)
class Mount:
    """Text files of the project that a program reads at a place in its container: one file, or those of a folder.

    Those with a `name` are a ConfigMap or Secret of that name, which all programs that mount it share. `mode` are their
    permissions, if it is said.
    """

    place: str
    files: Mapping[str, str]
    single: bool = False
    name: str = ""
    secret: bool = False
    mode: int | None = None

    @property
    def identity(self) -> tuple[bool, str]:
        """Return what tells its ConfigMap or Secret from others."""
        return self.secret, self.name


@dataclass(frozen=True)
class App:
    """A program of the project: an image that is built from `context`, or an existing one.

    `port` is the one it listens on, if that is known, and `more_ports` are others, with their protocols (tcp or udp);
    `command` and `args` replace the image's own, and `check` is a program that tells whether it is ready, within
    `check_seconds`; `once` tells that it ends. `folder` is its working directory, and `user` is UID or UID:GID; where
    they are empty, the image's count. `terminal` has stdin and tty if it is to have these. `container` and `pod` are
    further fields of these, `memory` has places in memory with their sizes. `aliases` are further names that others
    call it by, and it is `early` if others need it before it is ready. `mounts` are files that it reads, `claims`
    volumes for its data, by their places, with the `subpaths` of those that are mounted in part; those that are
    `read_only` it may not change. Its objects define the `volumes`; those of earlier programs define the mounts
    `elsewhere`. `names` are what manifests call its image, `build` is what images.yaml says of its build besides the
    context, and `bases` are the names of images of other programs that arguments of its build have, `made_from` those
    that its Dockerfile has; `base` is what only it and others alike are made from, which `is_base`; `recipe` is the
    text of its Dockerfile where that is written for it. `hosts` are further names below the domain that its Ingress
    answers at. `left_out` names what its compose service has and objects that are made from it lack.
    `image_user` is the user that its image names by a number.
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
    check_seconds: int = 30  # compose's default
    once: bool = False
    folder: str = ""
    user: str = ""
    terminal: tuple[str, ...] = ()
    replicas: int | None = None
    container: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    early: bool = False
    mounts: tuple[Mount, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    subpaths: Mapping[str, str] = field(default_factory=dict)
    read_only: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    elsewhere: tuple[Mount, ...] = ()
    names: tuple[str, ...] = ()
    build: Mapping[str, Any] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    made_from: tuple[str, ...] = ()
    base: App | None = None
    is_base: bool = False
    recipe: str = ""
    hosts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    image_user: int | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether it is built from the project's folder by a Dockerfile there, not by one of a subfolder."""
        return self.context == "." and "/" not in self.build.get("dockerfile", "")


@dataclass(frozen=True)
class Told:
    """What the file of another tool says: programs that are built, what is applied, its profiles, what is left out.

    `forwarded` are the workloads that it makes ports of this machine for, with their own ports if it says them.
    """

    apps: tuple[App, ...] = ()
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    profiles: frozenset[str] = frozenset()
    forwarded: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Front:
    """A Service of the manifests that users may want to reach, although no Ingress leads to it.

    One that has a `selector` is to be written.
    """

    name: str
    namespace: str
    port: int
    selector: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The content of a folder; paths are relative to it, with a slash at the end of folders.

    `manifests` is what is to be applied, `hosts` are those of its Ingresses, `images` those of its containers, `fronts`
    the Services that get an Ingress, `names` the names of its objects; `notes` say what was chosen and left out, and
    why. `project` is what its compose file calls it, from which the programs are if `is_composed`. `objects` is the
    folder for objects that are written. It is `unfiltered` if an image is built from all of it, since it says nowhere
    what is left out.
    """

    apps: tuple[App, ...] = ()
    manifests: tuple[Item, ...] = ()
    hosts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    fronts: tuple[Front, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    project: str = ""
    objects: str = OBJECTS
    unfiltered: bool = False
    is_composed: bool = False
    needs_gateway_api: bool = False
