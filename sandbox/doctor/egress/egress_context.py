"""One attempt to get out of the cluster: where to, by which way, and what the pod that tried it wrote."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from sandbox.bundle.store import Store
from sandbox.bundle.system_images import choose
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.cluster import dns
from sandbox.components.network import proxy_settings
from sandbox.doctor.check import with_engine
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.egress import probe_pod, probe_script
from sandbox.doctor.egress.probe_script import Part
from sandbox.doctor.egress.tls_client import Hello
from sandbox.kube.api import Cluster


@dataclass(frozen=True)
class Tried:
    """What the pod wrote, by the titles of its parts, and after how many seconds."""

    parts: dict[str, Part]
    seconds: float


@dataclass(frozen=True)
class Trip:
    """The way from a pod of the sandbox of `scene` to `host`:`port`."""

    scene: Scene
    host: str
    port: int
    hello: Hello = field(compare=False)

    @property
    def which(self) -> str:
        """How a command is told that sandbox."""
        return self.scene.which

    @property
    def proxy(self) -> str:
        """The URL of the proxy for https, empty for none; it may hold a password."""
        chosen = self.scene.spec.network.proxy
        return proxy_settings.of_environment(self.scene.environment).https if chosen == "auto" else chosen.https or ""

    @cached_property
    def nameservers(self) -> tuple[str, ...]:
        """Whom the cluster's DNS that runs asks. Raises ClusterError."""
        found = self._cluster.get("v1", "ConfigMap", dns.NAME, dns.NAMESPACE) or {}
        return dns.nameservers(str(found.get("data", {}).get("Corefile", "")))

    @cached_property
    def tried(self) -> Tried:
        """The pod's attempts. Raises ClusterError and WaitTimeout."""
        engine = with_engine(self.scene).engine
        images = choose(
            self.scene.spec.images.source, lambda name: engine.image_id(name) is not None, Store(self.scene.home.bundle)
        )
        words, then, target, port = b"", self.hello.first_words, self.host, self.port
        if self.proxy:
            parts = urlsplit(self.proxy)
            target, port = parts.hostname or "", parts.port or 80
            words = f"CONNECT {self.host}:{self.port} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()
        name = "" if parse_address(self.host) else self.host
        began = time.monotonic()
        log = probe_pod.run(
            self._cluster,
            images.references["busybox"],
            probe_script.command(name, target, port, words, then, self.nameservers),
        )
        return Tried(probe_script.read(log), time.monotonic() - began)

    def part(self, title: str) -> Part:
        """What the pod wrote at one attempt, which it may not have got to."""
        return self.tried.parts.get(title, Part("the pod was ended before it", False))

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.scene.names.kubeconfig)
