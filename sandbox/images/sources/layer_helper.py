"""A container that reads the engine's folders for a user who may not, and sends layers directly to the registry.

Its program is the bundle's `layer-reader`. It mounts one or two folders of the engine read-only and keeps one
capability, to read whatever the files' modes are; it is on the network of the registry and speaks to nothing else. What
it reports is not trusted: the registry is asked for each blob afterwards, and documents are what their digests name.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.config import json_text
from sandbox.engine import Engine, EngineError
from sandbox.engine.container_host import gateway, joined
from sandbox.images.sources.blob_socket import SOCKET, BlobSocket
from sandbox.images.sources.image_source import Inside, Job, Sent
from sandbox.images.sources.tar_split import Unreadable
from sandbox.oci import digest as digests
from sandbox.system import files

LABEL = "dev.sandbox.layer-reader"
MEMORY = 256 << 20
LONGEST_COMMAND = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerHelper:
    """Runs the container in `engine`; `image` names its image, None where the engine cannot have it."""

    engine: Engine
    image: Callable[[], str | None]

    def send(self, jobs: Sequence[Job], folders: Mapping[str, Path], port: int, sent: Callable[[int], None]) -> Sent:
        """Send blobs from the engine's folders to the registry that a container publishes on `port`.

        `folders` are the mounts. `sent` gets the number of bytes as they are sent. Returns when all is done, whether it
        succeeded or not; the container is always removed. Raises Unreadable when it cannot even begin, EngineError.
        """
        registry, done = self.registry(port), Sent()
        place = f"REGISTRY=http://{registry.host}:{registry.port}"
        with self._container(jobs, folders, registry.network, place) as name:
            self._listen(name, sent, done)
        return done

    def read(
        self,
        jobs: Sequence[Job],
        folders: Mapping[str, Path],
        spool: Path | None,
        take: Callable[[str, Iterator[bytes]], None],
    ) -> None:
        """Pass each blob to `take`, by its digest, several at once; their bytes come through a socket in `spool`.

        The container is always removed. Raises Unreadable when it cannot even begin, EngineError.
        """
        if spool:
            files.make_private_dir(spool)
        with (
            tempfile.TemporaryDirectory(prefix="sandbox-", dir=spool) as folder,
            BlobSocket.at(Path(folder), take),
            self._container(jobs, {**folders, "/out": Path(folder)}) as name,
        ):
            self._listen(name, lambda _: None, Sent())

    def _listen(self, name: str, sent: Callable[[int], None], done: Sent) -> None:
        try:
            for line in self.engine.follow(name):
                self._hear(line, sent, done)
        except EngineError as error:  # it may be done, and gone, before this listens
            log.info("the helper is not heard any more: %s", error)

    def registry(self, port: int) -> Inside:
        """Return where the container with `port` of this machine listens. Raises Unreadable, EngineError."""
        name = self.engine.publisher(port)
        found = self.engine.container(name) if name else None
        if found is not None:
            inner = found.inner(port)
            for network, address in found.addresses.items():
                if inner:
                    return Inside(network, address, inner, gateway(joined(self.engine, network)))
        raise Unreadable("the registry is not a container of this engine", details=f"port {port}")

    def _sweep(self) -> None:
        """Remove the containers of runs that were killed; those of another process namespace may run there."""
        for found in self.engine.containers(LABEL):
            pid, _, namespace = found.labels[LABEL].partition(" ")
            if namespace in ("", _namespace()) and not _runs(pid):
                self.engine.remove_container(found.name)

    @contextlib.contextmanager
    def _container(
        self,
        jobs: Sequence[Job],
        folders: Mapping[str, Path],
        network: str = "none",
        place: str = f"OUT=/out/{SOCKET}",
    ) -> Iterator[str]:
        command = [json.dumps(asdict(job), separators=(",", ":")) for job in jobs]
        if sum(map(len, command)) > LONGEST_COMMAND:
            raise Unreadable("there are too many layers for the helper")
        image = self.image()
        if image is None:
            raise Unreadable("the engine has no layer-reader", details="sandbox bundle build layer-reader makes it")
        self._sweep()
        name = f"sandbox-layer-reader-{uuid.uuid4().hex[:12]}"
        config = {
            "Image": image,
            "Cmd": command,
            "User": "0:0",
            "Env": [place],
            "Labels": {LABEL: f"{os.getpid()} {_namespace()}".strip()},
        }
        host = {
            "NetworkMode": network,
            # Not Binds, for which the engine makes folders that do not exist.
            "Mounts": [
                {"Type": "bind", "Source": str(folder), "Target": at, "ReadOnly": True}
                for at, folder in folders.items()
            ],
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["DAC_READ_SEARCH"],
            "SecurityOpt": self.engine.security_options(mounts=True),
            "Memory": MEMORY,
            "PidsLimit": 64,
            "AutoRemove": True,  # also if this process is killed
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        }
        try:
            self.engine.make(name, config, host)
            self.engine.start(name)
            yield name
        finally:
            self.engine.remove_container(name)

    def _hear(self, line: str, sent: Callable[[int], None], done: Sent) -> None:
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            event = json_text.document(line)
            if problem := event.get("error"):
                log.info("the helper could not send %s: %s", event.get("digest"), problem)
            if event.get("done"):
                done.blobs.append((str(event["repository"]), str(event["digest"])))
            if data := base64.b64decode(event.get("document") or "", validate=True):
                done.documents[digests.of(data)] = data
            sent(int(event.get("sent") or 0))
            return
        log.info("the helper said: %s", line)


def _namespace() -> str:
    """Return the namespace of this process's id (pid_namespaces(7)), empty on systems that have none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _runs(pid: str) -> bool:
    """Tell whether there is a process with this id, also of another user, whom /proc may not show."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    return True
