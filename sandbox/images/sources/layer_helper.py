"""A container that reads the engine's folders for a user who may not, and sends layers straight into the registry.

Its program is the bundle's `layer-reader`. It mounts two folders of the engine read-only and keeps one capability,
to read whatever the files' modes are; it is on the network of the registry and speaks to nothing else. What it says
is not trusted: the registry is asked for each blob afterwards.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.engine import Container, Engine, EngineError
from sandbox.engine.container_host import gateway, joined
from sandbox.images.sources.image_source import Inside, Job
from sandbox.images.sources.tar_split import Unreadable

LABEL = "dev.sandbox.layer-reader"
MEMORY = 256 << 20
LONGEST_COMMAND = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerHelper:
    """Runs the container in `engine`; `image` names its image, None when the engine cannot have it."""

    engine: Engine
    image: Callable[[], str | None]

    def send(self, jobs: Sequence[Job], root: Path, port: int, sent: Callable[[int], None]) -> None:
        """Have the registry that a container publishes on `port` get blobs out of the engine's folder `root`.

        `sent` hears of bytes as they cross. Returns when all is done, whether it succeeded or not; whatever happens the
        container is removed. Raises Unreadable when it cannot even begin, EngineError.
        """
        command = [json.dumps(asdict(job), separators=(",", ":")) for job in jobs]
        if sum(map(len, command)) > LONGEST_COMMAND:
            raise Unreadable("there are too many layers for the helper")
        registry = self.registry(port)
        image = self.image()
        if image is None:
            raise Unreadable("the engine has no layer-reader", details="sandbox bundle build layer-reader makes it")
        self._sweep()
        with self._container(image, command, root, registry) as name:
            try:
                for line in self.engine.follow(name):
                    self._hear(line, sent)
            except EngineError as error:  # it may be done, and gone, before it is listened to
                log.info("the helper is not heard any more: %s", error)

    def registry(self, port: int) -> Inside:
        """Return where the container listens that has `port` of this machine. Raises Unreadable, EngineError."""
        name = self.engine.publisher(port)
        found = self.engine.container(name) if name else None
        if found is not None:
            inner = _inner(found, port)
            for network, address in found.addresses.items():
                if inner:
                    return Inside(network, address, inner, gateway(joined(self.engine, network)))
        raise Unreadable("the registry is not a container of this engine", details=f"port {port}")

    def _sweep(self) -> None:
        """Remove the containers of runs that were killed."""
        for found in self.engine.containers(LABEL):
            if not Path("/proc", found.labels[LABEL]).exists():
                self.engine.remove_container(found.name)

    @contextlib.contextmanager
    def _container(self, image: str, command: list[str], root: Path, registry: Inside) -> Iterator[str]:
        name = f"sandbox-layer-reader-{uuid.uuid4().hex[:12]}"
        config = {
            "Image": image,
            "Cmd": command,
            "User": "0:0",
            "Env": [f"REGISTRY=http://{registry.host}:{registry.port}"],
            "Labels": {LABEL: str(os.getpid())},
        }
        host = {
            "NetworkMode": registry.network,
            "Binds": [f"{root}/image/overlay2:/image:ro", f"{root}/overlay2:/overlay2:ro"],
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["DAC_READ_SEARCH"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": MEMORY,
            "PidsLimit": 64,
            "AutoRemove": True,  # also where this process is killed
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        }
        try:
            self.engine.make(name, config, host)
            self.engine.start(name)
            yield name
        finally:
            self.engine.remove_container(name)

    def _hear(self, line: str, sent: Callable[[int], None]) -> None:
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            event = json.loads(line)
            if problem := event.get("error"):
                log.info("the helper could not send %s: %s", event.get("digest"), problem)
            sent(int(event.get("sent") or 0))
            return
        log.info("the helper said: %s", line)


def _inner(registry: Container, port: int) -> int | None:
    """Return the port inside a container that is `port` outside."""
    return next((inner for inner, binds in registry.published.items() if any(b.port == port for b in binds)), None)
