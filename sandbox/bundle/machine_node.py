"""Makes this machine's node image: a published one with every image unpacked that a new cluster starts with.

Published nodes have their images packed, and would unpack them and pull the ingress controller in every new cluster.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.system import files

SCRIPT = files.packaged("sandbox.bundle", "scripts/unpack-node.sh")
WORK = "/unpacked"
ARCHIVES = PurePosixPath("/archives")
LABEL = "dev.sandbox.machine-node"  # of such an image, and of its containers: the published image
OWNER = "dev.sandbox.machine-node.uid"
NAME = "sandbox.dev/node:"


@dataclass(frozen=True)
class Made:
    """A node image of this machine; `bytes` is its size without the published image that it is made from."""

    image: str
    bytes: int
    used: bool


def tag(references: Sequence[str]) -> str:
    """Return twelve hexadecimal digits for the image that this user makes from the published `references`.

    Each user has an image of their own: no one else knows which of them their snapshots need.
    """
    return hashlib.sha256("\0".join((SCRIPT, str(os.getuid()), *references)).encode()).hexdigest()[:12]


def make(engine: Engine, published: str, images: Sequence[str], name: str, say: Callable[[str], None]) -> None:
    """Make the image `name` from the node image `published` with `images`, all of which the engine has.

    Earlier ones stay, since snapshots may use them. Raises SandboxError.
    """
    box = f"sandbox-node-{name.rpartition('-')[2]}"
    if any(container.name == box for container in engine.containers(LABEL)):  # left by a killed command
        engine.remove_container(box)
    config = {
        "Image": published,
        "Entrypoint": ["timeout", "900", "bash", "-c", SCRIPT, "unpack", WORK],
        "Cmd": [],
        "Labels": {LABEL: ""},
        "Volumes": {WORK: {}},
    }
    engine.make(box, config, {"Privileged": True, "NetworkMode": "none"})
    try:
        engine.write_files(box, {ARCHIVES / ".folder": b""})
        for image in images:
            say(f"saving {image}")
            with saved(engine, image) as archive:
                engine.copy_file(box, archive, ARCHIVES)
        say("unpacking images, once")
        engine.start(box)
        status = engine.wait(box)
        if status != 0:
            raise SandboxError(
                f"the node image {published.partition('@')[0]} cannot be prepared",
                details=engine.logs(box),
                fix="sandbox bundle build  (builds a node image from package registries, once)",
                id="no-images",
            )
        say("keeping the node image")
        made = dict((engine.inspect_image(published) or {}).get("Config") or {})
        labels = {LABEL: published, OWNER: str(os.getuid())}
        engine.commit(box, name, {**made, "Labels": {**(made.get("Labels") or {}), **labels}})
    finally:
        engine.remove_container(box)


def made(engine: Engine, saved_of: Iterable[str]) -> tuple[Made, ...]:
    """Return the node images that this user made, by name, and whether each is used by a container of any user.

    An image with an id in `saved_of` is used too: the images of snapshots cannot be made again. Other images have the
    label too, such as those that users make from nodes: only those with our names count.
    """
    used = {*saved_of, *(container.image for container in engine.containers(LABEL))}
    images = []
    for name in sorted(engine.labelled_images(f"{OWNER}={os.getuid()}")):
        image = engine.inspect_image(name) if name.startswith(NAME) else None
        if image is not None:
            below = engine.inspect_image(str(image["Parent"])) if image.get("Parent") else None
            size = int(image.get("Size", 0)) - int((below or {}).get("Size", 0))
            images.append(Made(name, size, image["Id"] in used))
    return tuple(images)


def prune(engine: Engine, unused: Sequence[Made]) -> tuple[Made, ...]:
    # A sandbox may have begun to use one meanwhile, which the engine then keeps.
    return tuple(image for image in unused if engine.remove_image(image.image))


@contextmanager
def saved(engine: Engine, image: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sandbox-image-") as folder:
        archive = Path(folder) / f"{image.rpartition('/')[2].partition(':')[0]}.tar"
        with archive.open("wb") as out:
            out.writelines(engine.save([image]))
        yield archive
