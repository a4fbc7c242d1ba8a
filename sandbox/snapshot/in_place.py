"""Restores the data of nodes that keep running: only pods start again, and etcd and the API server go on.

The keys of the snapshot become changes in etcd, which programs that watch the API server see as usual. An earlier data
folder, with an earlier revision, would need a new API server (Kubernetes, "Operating etcd clusters": "Restoring an etcd
cluster"). It takes two thirds of the time, and is for nodes whose own files, settings and images are those of the
snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from sandbox.components.cluster.kind import api_answers
from sandbox.engine import Engine, container_copy
from sandbox.engine.container_copy import Description
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.snapshot.new_nodes import NEW
from sandbox.snapshot.node_fingerprint import fingerprint
from sandbox.snapshot.snapshot_save import packing
from sandbox.snapshot.snapshot_store import Manifest
from sandbox.snapshot.volume_archive import Packed
from sandbox.system import files

IN_PLACE = "in-place"
IMAGES = "lib/containerd"  # in the volume: stays as it is
VOLUME = "/var"
PATIENCE = "120"  # seconds for a phase in a node
_SCRIPT = files.packaged(__package__, "scripts/in-place.sh")
_HELD = re.compile(r"^held (\d+)(.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """The nodes of a sandbox, which have the label `mark`, that get the data of a snapshot."""

    engine: Engine
    names: Names
    mark: str
    manifest: Manifest
    note: ClassVar = IN_PLACE

    def is_possible(self, wanted: Sequence[Description]) -> bool:
        """Tell whether the nodes run and are those that are wanted."""
        nodes, there = self.manifest.nodes, {one.name: one for one in self.engine.containers(self.mark)}
        if there.keys() != {node.name for node in nodes} or not all(one.running for one in there.values()):
            return False
        for node, made in zip(nodes, wanted, strict=True):
            now = container_copy.describe(self.engine, node.name)
            same = ({**now.config, "Image": there[node.name].image}, now.host) == (made.config, made.host)
            mounted = any(f":{VOLUME}/" in bind for bind in made.host.get("Binds") or ())
            if not same or mounted or not node.fingerprint or [*node.volumes] != [VOLUME]:
                return False
        with ThreadPoolExecutor(len(nodes)) as pool:
            found = list(pool.map(lambda node: fingerprint(self.engine, self.names, node.name), nodes))
        return found == [node.fingerprint for node in nodes]

    def volumes(self) -> list[str]:
        """Return the volumes of the nodes there are."""
        held = (container_copy.volumes(self.engine, one.name) for one in self.engine.containers(self.mark))
        return [volumes[VOLUME] for volumes in held if VOLUME in volumes]

    def prepare(self, _: Callable[[str], None]) -> list[Packed]:
        """Return what is to be put next to the present data."""
        held = [container_copy.volumes(self.engine, node.name)[VOLUME] for node in self.manifest.nodes]
        pairs = zip(packing(self.manifest.nodes), held, strict=True)
        return [replace(one, volume=volume, base=None, below=NEW, without=IMAGES) for one, volume in pairs]

    def writers(self) -> list[Callable[[], None]]:
        """Return nothing: their own files stay."""
        return []

    def replacements(self) -> list[Callable[[], object]]:
        """Return what replaces their data; it cannot be repeated."""
        return [self._replace]

    def _replace(self) -> None:
        """Replace the data by what is next to it, and wait until the API server tells of the pods since then.

        Raises SandboxError; then the nodes are neither as before nor as the snapshot has them.
        """
        every = [node.name for node in self.manifest.nodes]
        if len(every) == 1:
            held = [self._run(every[0], "hold", "rewind", "release")]
        else:
            held = self._each(every, "hold")
            self._run(self.names.node, "rewind")
            self._each(every, "release")
        matches = [match for match in map(_HELD.search, held) if match]
        since = max(datetime.fromtimestamp(int(one[1]), UTC) for one in matches)
        living = {uid for one in matches for uid in one[2].split()}
        api_answers.await_news(self.engine, self.names.node, self.names.kubeconfig, dict.fromkeys(every, since), living)

    def _each(self, nodes: Sequence[str], phase: str) -> list[str]:
        with ThreadPoolExecutor(len(nodes)) as pool:
            return list(pool.map(lambda node: self._run(node, phase), nodes))

    def _run(self, node: str, *phases: str) -> str:
        """Run phases in a node, and return what it said."""
        command = ["timeout", PATIENCE, "bash", "-c", _SCRIPT, "in-place", NEW, *phases]
        status, said = self.engine.execute(node, command)
        if status:
            raise SandboxError(f"the data of {node} could not be replaced", details=said.strip()[-2000:])
        return said
