"""Records the unnamed volumes of nodes, to recognise later that other programs removed the nodes, and what is left.

The engine gives such a volume no label that says whose it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.engine import Container, Engine
from sandbox.names import Names
from sandbox.system import files

_UNNAMED = re.compile(r"[0-9a-f]{64}")  # which the engine makes up itself


@dataclass(frozen=True)
class NodeVolumes:
    engine: Engine
    names: Names

    def record(self, nodes: Sequence[Container]) -> None:
        """Record the volumes of these nodes, and keep recorded volumes of removed nodes that still exist."""
        present = {volume for node in nodes for volume in node.volumes if _UNNAMED.fullmatch(volume)}
        recorded, is_ending = self._read()
        if present - {*recorded} or is_ending:
            self._write(sorted({*present, *self._left(recorded)}), is_ending=False)

    def lost(self) -> str | None:
        """Return which volumes remain of nodes that another program removed; None if no such nodes are recorded."""
        recorded, is_ending = self._read()
        if not recorded or is_ending:
            return None
        left = self._left(recorded)
        return f"what is left of it is deleted: volume {', '.join(left)}" if left else "nothing is left of it"

    def begin_end(self) -> None:
        """Record that this program removes the nodes, which may be killed meanwhile."""
        recorded, _ = self._read()
        if recorded:
            self._write(recorded, is_ending=True)

    def remove(self) -> None:
        """Remove what is left of removed nodes. Raises EngineError for a volume that a container uses."""
        recorded, _ = self._read()
        for volume in self._left(recorded):
            self.engine.remove_volume(volume)
        self.names.node_volumes.unlink(missing_ok=True)

    def _left(self, volumes: Sequence[str]) -> tuple[str, ...]:
        return tuple(volume for volume in volumes if self.engine.volume_labels(volume) is not None)

    def _read(self) -> tuple[list[str], bool]:
        try:
            record = files.read_json(self.names.node_volumes)
            return [volume for volume in record["volumes"] if _UNNAMED.fullmatch(volume)], bool(record["is_ending"])
        except (OSError, ValueError, LookupError, TypeError):
            return [], False

    def _write(self, volumes: Sequence[str], *, is_ending: bool) -> None:
        files.write_private(self.names.node_volumes, json.dumps({"volumes": volumes, "is_ending": is_ending}).encode())
