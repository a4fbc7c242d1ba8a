"""What goes missing from a real sandbox behind its back, each with the step that has to notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import yaml

from sandbox.engine import Engine, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE
from tests.real.crashing import FOREIGN, Broken

Taking = Callable[[Broken, Engine], object]


@dataclass(frozen=True)
class Damage:
    """Something that can be taken away, and the name of the step that puts it back."""

    step: str
    take: Taking

    def __call__(self, broken: Broken, engine: Engine) -> None:
        with suppress(SandboxError):
            self.take(broken, engine)


def _object(api_version: str, kind: str, namespace: str, name: str) -> Taking:
    return lambda broken, _: Cluster(broken.names.kubeconfig).delete(api_version, kind, name, namespace)


def _registry(broken: Broken, engine: Engine, *, data: bool) -> None:
    engine.remove_container(broken.names.registry)
    if data:
        engine.remove_volume(broken.names.volume)


DAMAGES: Mapping[str, Damage] = {
    "registry": Damage("registry", partial(_registry, data=False)),
    "registry's data": Damage("push", partial(_registry, data=True)),
    "edge": Damage("edge", lambda broken, engine: engine.remove_container(labelled.edge(engine, broken.names.home))),
    "node": Damage("cluster", lambda broken, engine: engine.remove_container(broken.names.node)),
    "network": Damage("network", lambda broken, engine: engine.remove_network(broken.names.network)),
    "context": Damage("context", lambda broken, _: broken.kubeconfig.write_text(yaml.safe_dump(FOREIGN))),
    "node's word of the registry": Damage(
        "wiring", lambda broken, engine: engine.execute(broken.names.node, ["rm", "-rf", "/etc/containerd/certs.d"])
    ),
    "Corefile": Damage("dns", _object("v1", "ConfigMap", "kube-system", "coredns")),
    "Secret": Damage("secrets", _object("v1", "Secret", SYSTEM_NAMESPACE, DEFAULT_TLS)),
    "ingress": Damage("ingress", _object("apps/v1", "DaemonSet", SYSTEM_NAMESPACE, "traefik")),
    "application": Damage("apply", _object("apps/v1", "Deployment", "default", "app")),
}
# What it takes a new cluster to put back, and what cannot be taken as long as a user uses it.
SELDOM = frozenset({"node", "network"})
