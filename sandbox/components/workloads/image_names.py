"""Connects names of images in user manifests with what images.yaml builds and pushes.

An image of images.yaml replaces every image of its name, by the digest that the registry has now: a changed image
changes the pods' template and is rolled out, and nothing else is.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError, UsageError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild, FromDaemon, FromRegistry
from sandbox.kube.api import Manifest, title
from sandbox.kube.pods import containers
from sandbox.oci import reference as references
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.reference import DOCKER_HUB, Reference, Target
from sandbox.quantities import plural

LOCAL = ("localhost", "127.0.0.1")
# Well-known programs that a project's folder may be named after: a tag of these means the published image.
OFFICIAL = ("busybox", "httpd", "mariadb", "memcached", "mongo", "mysql", "nginx", "postgres", "rabbitmq", "redis")

# In the kubelet's words (kubernetes, pkg/kubelet/images/image_manager.go).
_UNPULLED = re.compile(r"(?:ErrImagePull|ImagePullBackOff).{0,200}?image \\?\"([^\"\\\s]+)", re.DOTALL)

Slot = tuple[Any, str | int]


@dataclass(frozen=True)
class Brought:
    """An image of images.yaml: its place in the registry, and the names it goes by.

    `source` is its full name where it comes from; one that is `built` is the developer's, whatever its tag; `names` are
    what images.yaml says after `for`.
    """

    target: Target
    source: Reference | None = None
    built: bool = False
    names: tuple[Reference, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ImageNames:
    """The images that are pushed to the registry at `url`, which manifests call `prefix`.

    `hosts` are further names of the registry; `fields` the paths below further kinds that contain names of images;
    `file` is images.yaml.
    """

    prefix: str
    url: str
    hosts: tuple[str, ...] = ()
    brought: tuple[Brought, ...] = ()
    fields: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    file: Path | None = None
    keychain: Keychain | None = None

    def with_images(self, file: Path | None) -> ImageNames:
        if file is None:
            return self
        written = images_yaml.read(file)
        return replace(
            self,
            brought=tuple(_brought(item, file.parent) for item in written.images),
            fields={kind: tuple(tuple(path.split(".")) for path in paths) for kind, paths in written.fields.items()},
            file=file,
        )

    def find(self, name: str) -> Brought | None:
        """Return the image that a name in a manifest means, if it is one of these. Raises UsageError for two."""
        reference = references.of_text(name)
        if reference is None:  # the kubelet reports it
            return None
        if reference.digest:  # exactly these bytes are wanted, and no others may replace them
            return next((image for image in self.brought if reference in (image.names or ())), None)

        def is_named(image: Brought) -> bool:
            names = (each for each in image.names or () if (each.host, each.path) == (reference.host, reference.path))
            return any(not each.digest and each.tag in (None, reference.tag) for each in names)

        images = [image for image in self.brought if is_named(image)]
        images = images or [image for image in self.brought if self._is_own(reference, image)]
        if not images and not self.is_ours(name):
            images = [image for image in self.brought if _is_alike(reference, image)]
        if len(images) > 1:
            raise UsageError(
                f"the image {name} may be {' or '.join(str(image.target) for image in images)}",
                details=f"both are in {self.file}",
                fix=f"write `for: [{name}]` at the image that is meant",
            )
        return images[0] if images else None

    def is_ours(self, name: str) -> bool:
        host, slash, _ = name.partition("/")
        return bool(slash) and host in (self.prefix, *self.hosts)

    def connected(self, objects: Sequence[Manifest]) -> Mapping[str, Brought]:
        """Return the names in the objects that mean one of these images, with the image. Raises UsageError."""
        return self.means(str(holder[key]) for manifest in objects for holder, key in slots(manifest, self.fields))

    def means(self, names: Iterable[str]) -> Mapping[str, Brought]:
        return {name: image for name in dict.fromkeys(names) if (image := self.find(name))}

    def written(self, objects: Sequence[Manifest]) -> tuple[dict[str, Any], ...]:
        """Return the objects with the images as the registry has them now. Raises RegistryError, UsageError."""
        full = self.full(self.connected(objects))
        return tuple(renamed(manifest, full, self.fields) for manifest in objects)

    def full(self, images: Mapping[str, Brought]) -> dict[str, str]:
        """Return the names by which pods pull the images now; images that the registry lacks are left out."""
        if not images:
            return {}
        with Client(self.url, keychain=self.keychain) as client:
            digests = {
                target: client.manifest_digest(target.repository, target.tag or target.digest or "")
                for target in {image.target for image in images.values()}
            }
        return {
            name: f"{self.prefix}/{target.repository}{f':{target.tag}' if target.tag else ''}@{digest}"
            for name, target in ((name, image.target) for name, image in images.items())
            if (digest := digests[target])
        }

    def require(self, objects: Sequence[Manifest]) -> None:
        """Raise SandboxError for images of the sandbox's registry that are neither in it nor in images.yaml."""
        users, missing = self.unlisted(objects), {}
        if not users:
            return
        with Client(self.url, keychain=self.keychain) as client:
            for name, user in users.items():
                reference = references.parse(name).with_default_tag()
                if client.manifest_digest(reference.path, reference.name) is None:
                    missing[name] = user
        if missing:
            raise SandboxError(
                f"nothing provides the {plural(len(missing), 'image')} {', '.join(missing)}",
                details="\n".join(f"{user}: {name}" for name, user in missing.items()),
                fix=advice(missing, self.file),
                id="no-image",
            )

    def unlisted(self, objects: Sequence[Manifest]) -> Mapping[str, str]:
        """Return images of the sandbox's registry that images.yaml does not push, and who wants them."""
        pushed = self.connected(objects)
        return {
            str(holder[key]): title(manifest)
            for manifest in reversed(objects)
            for holder, key in slots(manifest, self.fields)
            if self.is_ours(str(holder[key])) and str(holder[key]) not in pushed
        }

    def _is_own(self, reference: Reference, image: Brought) -> bool:
        target, host, tag = image.target, reference.host, reference.with_default_tag().tag
        ours = host in (self.prefix, *self.hosts) or host.partition(":")[0] in LOCAL
        if (ours or host == DOCKER_HUB) and reference.familiar_path == target.repository:
            alone = [each.target for each in self.brought if each.target.repository == target.repository] == [target]
            return tag == target.tag or (alone and (reference.tag is None if ours else image.built))
        source = image.source
        return source is not None and (source.host, source.path, source.tag) == (host, reference.path, tag)


def slots(manifest: Manifest, fields: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[Slot]:
    """Yield the places of image names in the object: each a mapping or list, and the key."""
    for container in containers(manifest):
        if isinstance(container.get("image"), str):
            yield container, "image"
    for path in fields.get(manifest["kind"], ()):
        yield from places(manifest, tuple(path))


def renamed(
    manifest: Manifest, full: Mapping[str, str], fields: Mapping[str, Sequence[Sequence[str]]]
) -> dict[str, Any]:
    made = copy.deepcopy(dict(manifest))
    for holder, key in slots(made, fields):
        if holder[key] in full:
            holder[key] = full[holder[key]]
            if isinstance(holder, dict) and holder.get("imagePullPolicy") == "Never":
                holder["imagePullPolicy"] = "IfNotPresent"  # it was to be loaded into nodes, and comes from a registry
    return made


def advice(names: Iterable[str], file: Path | None) -> str:
    repositories = [name.partition("/")[2] for name in names]
    folders = [repository.rpartition("/")[2].partition(":")[0] for repository in repositories]
    lines = "; ".join(
        f"- {{from: build, context: ./{folder}, as: {repository}}}"
        for folder, repository in zip(folders, repositories, strict=True)
    )
    return f"{_where(file)}: {lines}   (or `from: daemon, image: …` for one that the engine has)"


def _where(file: Path | None) -> str:
    return f"add to {file.name}" if file else "write images.yaml, name it in sandbox.yaml (push: images.yaml), with"


def bring_advice(message: str, file: Path | None) -> str:
    """Return what to add to images.yaml for an image that a kubelet could not pull; empty for other messages."""
    if not (unpulled := _UNPULLED.search(message)):
        return ""
    entry = f"- {{from: build, context: FOLDER, as: NAME:dev, for: ['{unpulled[1]}']}}"
    return f"correct the image's name or give a login for it; or if it is built here, {_where(file)}: {entry}"


def _brought(item: images_yaml.Item, folder: Path) -> Brought:
    entry = item.entry(folder)
    names = None if item.names is None else tuple(map(references.parse, item.names))
    source = entry.image if isinstance(entry, FromRegistry) else None
    if isinstance(entry, FromDaemon) and (named := references.of_text(entry.image)):  # else it is an id
        source = named.with_default_tag()
    return Brought(entry.target, source, isinstance(entry, FromBuild), names)


def _is_alike(reference: Reference, image: Brought) -> bool:
    last = image.target.repository.rpartition("/")[2]
    if not image.built or image.names is not None or reference.path.rpartition("/")[2] != last:
        return False
    official = reference.host == DOCKER_HUB and reference.path == f"library/{last}" and last in OFFICIAL
    return not official or reference.tag in (None, image.target.tag)


def places(content: Any, path: tuple[str, ...]) -> Iterator[Slot]:
    if isinstance(content, list):
        for item in content:
            yield from places(item, path)
    elif isinstance(content, dict) and path:
        key, *rest = path
        value = content.get(key)
        if rest:
            yield from places(value, tuple(rest))
        elif isinstance(value, str):
            yield content, key
        elif isinstance(value, list):
            yield from ((value, index) for index, item in enumerate(value) if isinstance(item, str))
