"""A sandbox without an ingress, whose spec tests change while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from sandbox.app import context
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.real import machine
from tests.real.machine import CommandLine, Ran


@dataclass(frozen=True)
class Changing:
    """One whose files are in `folder`, whose commands have these variables, and all that those `said`."""

    folder: Path
    spec: Mapping[str, Any]
    env: Mapping[str, str]
    said: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, name: str, folder: Path, *, registry: int, port: int, env: Mapping[str, str] | None = None, **more: Any
    ) -> Self:
        """One with a registry and an edge on these ports, and `more` in its spec."""
        spec = {"name": name, "registry": {"port": registry}, "edge": {"ports": [port]}, **more}
        return cls(folder, {**spec, "ingress": {"controller": "none"}}, env or {})

    @classmethod
    def on_minikube(cls, name: str, folder: Path, *, registry: int, port: int, env: Mapping[str, str]) -> Self:
        """One whose cluster is minikube's, and whose images the folder's images.yaml names."""
        more = {"cluster": {"provider": "minikube"}, "push": "images.yaml"}
        return cls.of(name, folder, registry=registry, port=port, env=env, **more)

    @property
    def names(self) -> Names:
        return context.home().sandbox(self.spec["name"])

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def run(self, *words: str, status: int | None = 0, timeout: float = 900) -> Ran:
        """Run a `sandbox` command in the folder."""
        command = CommandLine({"KUBECONFIG": str(self.folder / "kubeconfig"), **self.env}, self.folder)
        ran = command(*words, status=status, timeout=timeout)
        self.said.extend((ran.out, ran.err))
        return ran

    def up(self, **more: Any) -> set[str]:
        """Bring it up with `more` in the spec; the steps that had something to do."""
        (self.folder / "sandbox.yaml").write_text(yaml.safe_dump({**self.spec, **more}))
        ran = self.run("up", "--progress", "json")
        events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
        return {event["step"] for event in events if event["event"] == "finished"}

    def addons(self) -> dict[str, tuple[str, str | None]]:
        """Each addon's state, and who enabled it if that was the sandbox."""
        rows = json.loads(self.run("addons", "list", "-o", "json").out)
        return {row["name"]: (row["state"], row["by"]) for row in rows}

    def kubectl(self, *words: str, status: int | None = 0) -> str:
        return machine.kubectl(self.names.kubeconfig, *words, status=status)
