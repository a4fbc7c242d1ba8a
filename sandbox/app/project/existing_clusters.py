"""Finds a kind cluster that the user made by hand on this machine, and the registry of its local-registry script."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import yaml

from sandbox.components.cluster import kubeconfig
from sandbox.config import yaml_text
from sandbox.config.resolve import Override, changed
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home
from sandbox.system import files

CLUSTER, ROLE = "io.x-k8s.kind.cluster", "io.x-k8s.kind.role"
# https://kind.sigs.k8s.io/docs/user/local-registry/
REGISTRY = "kind-registry"
HOSTING = "local-registry-hosting"


@dataclass(frozen=True)
class UserCluster:
    """A cluster that the user made, by its context, and its registry, if any, as this machine and nodes call it."""

    context: str
    registry: str | None

    @property
    def spec(self) -> dict[str, dict[str, str]]:
        cluster = {"provider": "existing", "context": self.context}
        return {"cluster": cluster, **({"registry": {"external": self.registry}} if self.registry else {})}

    def adopted_by(self, spec: Spec) -> Spec:
        """Return the spec with this cluster and its registry. Raises UsageError for what the cluster cannot have."""
        theirs = [
            Override((part, key), value, "") for part, values in self.spec.items() for key, value in values.items()
        ]
        return changed(spec, theirs, called=f"the spec of '{spec.name}' for {self.context}")


def find(engine: Engine, home: Home) -> Iterator[UserCluster]:
    """Yield the running kind clusters that no sandbox made and that a context of the user's names. Changes nothing."""
    clusters = {
        container.labels[CLUSTER]
        for container in engine.containers(CLUSTER)
        if container.labels.get(ROLE) == "control-plane" and container.running
    }
    for name in sorted(clusters - {names.cluster for names in home.known()}):
        context = f"kind-{name}"
        with suppress(SandboxError):  # no such context, or no server answers there
            registry = _announced(home, context)
            container = None if registry else engine.container(REGISTRY)
            for bind in chain.from_iterable(container.published.values() if container else ()):
                registry = registry or f"localhost:{bind.port}"
            yield UserCluster(context, registry)


def _announced(home: Home, context: str) -> str | None:
    """Return the registry that the cluster announces (KEP-1755). Raises SandboxError when it cannot be asked."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        path = Path(folder) / "kubeconfig"
        content = kubeconfig.single_context((home.kubeconfig, *home.other_kubeconfigs), context, "kube-public")
        files.write_atomic(path, content, mode=0o600)
        announcement = Cluster(path).get("v1", "ConfigMap", HOSTING, "kube-public")
    if announcement is None:
        return None
    try:
        registry = yaml_text.document((announcement.get("data") or {}).get("localRegistryHosting.v1", ""))
        return str(registry["host"])
    except (yaml.YAMLError, TypeError, KeyError):
        return None
