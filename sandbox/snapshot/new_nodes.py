"""Makes the nodes of a snapshot next to those there are, which they replace at once."""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from sandbox.engine import Container, Engine, container_copy, labelled, shared_folders
from sandbox.engine.container_copy import Description
from sandbox.names import Names
from sandbox.snapshot.snapshot_save import packing
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node
from sandbox.snapshot.volume_archive import Packed
from sandbox.system import host_network

READY = "ready"
NEW = ".restoring"  # the suffix of names until the new objects replace the old ones
LARGEST_RECORD = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class NewNodes:
    """The new nodes of a sandbox, as the manifest of a snapshot has them, whose files are in the folder `kept`.

    `mark` is the label that only nodes of the sandbox have.
    """

    engine: Engine
    names: Names
    mark: str
    manifest: Manifest
    kept: Path

    @cached_property
    def described(self) -> list[Description]:
        """Return their configuration on this machine. Raises SandboxError for one that no engine writes."""
        return [self._description(node) for node in self.manifest.nodes]

    def prepare(self, say: Callable[[str], None]) -> list[Packed]:
        """Make them, and return what belongs in their volumes."""
        made = []
        for node, wanted in zip(self.manifest.nodes, self.described, strict=True):
            say(f"making {node.name}")
            self.engine.make(node.name + NEW, wanted.config, wanted.host)
            held = container_copy.volumes(self.engine, node.name + NEW)
            made.append(node.model_copy(update={"volumes": {place: held[place] for place in node.volumes}}))
        pairs = zip(packing(self.manifest.nodes), packing(made), strict=True)
        return [Packed(new.volume, old.file, old.base) for old, new in pairs]

    def writers(self) -> list[Callable[[], None]]:
        """Return what writes their files, all but those in their volumes."""
        pairs = zip(self.manifest.nodes, self.described, strict=True)
        return [partial(self._write, wanted, self.kept / node.files) for node, wanted in pairs]

    def undo(self) -> None:
        """Remove those that were made."""
        for container in self._made():
            self.engine.remove_container(container.name)

    def replacements(self) -> list[Callable[[], object]]:
        """Return what replaces the nodes there are; each can be repeated, and all can be done at once."""
        kept = {node.name for node in self.manifest.nodes}
        left = [one.name for one in self.engine.containers(self.mark) if one.name.removesuffix(NEW) not in kept]
        return [
            *(partial(self._replace, one.name.removesuffix(NEW)) for one in self._made()),
            *(partial(self.engine.remove_container, one) for one in left),
        ]

    def _write(self, node: Description, saved: Path) -> None:
        name = node.name + NEW
        container_copy.write(self.engine, name, saved)
        self._require_seen(name, node)
        self._claim(name, saved)

    def _replace(self, node: str) -> None:
        if any(one.name == node for one in self.engine.containers(self.mark)):
            self.engine.remove_container(node)
        self.engine.rename(node + NEW, node)

    def _made(self) -> list[Container]:
        return [one for one in self.engine.containers(self.mark) if one.name.endswith(NEW)]

    def _description(self, node: Node) -> Description:
        """Return the node's configuration on this machine: with files in this user's folder, on a free port."""
        here = f"{self.names.folder}/"
        try:
            binds = [one.replace(f"{self.manifest.folder}/", here, 1) for one in node.host.get("Binds") or ()]
            more = {"Binds": binds, "PortBindings": self._ports(node), "NetworkMode": self.names.network}
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"{node.name} has mounts or ports that no engine writes"
            raise self.manifest.damaged(self.kept / MANIFEST, why) from error
        return Description(node.name, node.config, {**node.host, **more})

    def _require_seen(self, node: str, wanted: Description) -> None:
        """Raise SandboxError where an engine elsewhere does not see this user's folder, of which the node has files."""
        if self.engine.shares_network():
            return
        binds = ((*bind.split(":"), "")[:2] for bind in wanted.host["Binds"])
        ours = {Path(source): inner for source, inner in binds if Path(source).is_relative_to(self.names.folder)}
        shared_folders.require_seen(partial(self.engine.read_file, node), ours)

    def _claim(self, node: str, saved: Path) -> None:
        """Make this user the owner in the node's record, of its `saved` files; another user may have saved them."""
        with tarfile.open(saved) as tar, contextlib.suppress(KeyError):
            file = tar.extractfile(str(labelled.COMPLETE.relative_to("/")))
            record = json.loads(file.read(LARGEST_RECORD)) if file else {}
            if not isinstance(record, dict):
                raise tarfile.ReadError(f"{labelled.COMPLETE} is no record")
            if record.get("owner") != self.names.home.owner:
                record["owner"] = self.names.home.owner
                self.engine.write_file(node, labelled.COMPLETE, json.dumps(record).encode())

    def _ports(self, node: Node) -> dict[str, list[dict[str, str]]]:
        old = self.engine.container(node.name)
        held = {bind.port for binds in old.published.values() for bind in binds} if old else set()
        wanted: dict[str, list[dict[str, str]]] = {}
        for inner, binds in (node.host.get("PortBindings") or {}).items():
            wanted[inner] = []
            for bind in binds:
                address, port = bind["HostIp"] or "0.0.0.0", int(bind["HostPort"] or 0)  # noqa: S104
                if port and port not in held and not host_network.is_free(address, port):
                    port = host_network.next_free(address, port)
                wanted[inner].append({"HostIp": bind["HostIp"], "HostPort": str(port or "")})
        return wanted
