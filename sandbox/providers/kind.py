"""The cluster that kind makes: containers as nodes, on the sandboxes' own network, with our nameservers and proxy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.cluster import proxy
from sandbox.cluster.kind import RESOLV_CONF, Kind, Tags, config
from sandbox.errors import SandboxError
from sandbox.host import files
from sandbox.host.engine import Engine
from sandbox.host.resolvers import resolv_conf
from sandbox.host.waiting import WaitTimeout, wait_until
from sandbox.names import NETWORK, Names
from sandbox.providers.containers import Containers
from sandbox.providers.provider import Nodes, Standing
from sandbox.providers.proxied import Proxied

ROLE = "io.x-k8s.kind.role"
ROLES = ("control-plane", "worker")  # the others balance load and run no pods

# A file in the node that says kind came to its end; it lasts as long as the node does.
COMPLETE = PurePosixPath("/kind/sandbox-complete")

SETTLE = 3.0  # seconds; the engine copies the image's /var before a new node is to be seen


def nodes(engine: Engine, names: Names) -> Containers:
    """The nodes of a sandbox's kind cluster, there or not."""
    return Containers(engine, NETWORK, names.node, f"io.x-k8s.kind.cluster={names.cluster}", ROLE, ROLES)


@dataclass(frozen=True)
class KindProvider:
    """A one-node cluster whose pods use our nameservers.

    Nameservers, search domains and the proxy may change while it runs, for the files that say so are mounted.
    """

    engine: Engine
    names: Names
    kind: Kind
    image: str
    tags: Tags | None
    nameservers: tuple[str, ...]
    search: tuple[str, ...]
    proxied: Proxied

    @property
    def nodes(self) -> Nodes:
        """The way to its nodes."""
        return nodes(self.engine, self.names)

    def require(self) -> str:
        """The version of kind."""
        return self.kind.require()

    def standing(self) -> Standing:
        """What there is of the cluster."""
        found = self.nodes.standing()
        return Standing.PARTIAL if found is not Standing.ABSENT and self._is_half_made() else found

    def drift(self) -> str | None:
        """Whether it has other nameservers or another proxy."""
        if self.names.resolv_conf.exists() and self._resolv_conf() != self.names.resolv_conf.read_text():
            return "other nameservers"
        return None if self._has_proxy() else f"another proxy than {self.proxied}"

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Have kind make it; usable as soon as kind has started the control plane."""
        self.delete()
        files.make_private_dir(self.names.folder)
        self._write_mounted()
        text = config(
            self.names.cluster,
            mounts={self.names.resolv_conf: RESOLV_CONF, self.names.proxy_conf: proxy.DROP_IN},
            cgroup_version=self.engine.cgroup_version(),
            tags=self.tags,
        )
        files.write_atomic(self._config, text.encode(), mode=0o600)

        def on_line(line: str) -> None:
            if "✓" in line or "•" in line:
                say(line.replace("✓", "").replace("•", "").strip(" ."))
            if "✓ Starting control-plane" in line:
                # What kind still does, storage and the network plugin, others need not wait for.
                self.write_kubeconfig()
                usable()

        # kind asks the engine for this very image, and by its id it can be no other.
        image = self.engine.image_id(self.image) or self.image
        try:
            self.kind.create(
                self.names.cluster, image=image, config=self._config, kubeconfig=self.names.kubeconfig, on_line=on_line
            )
        except BaseException:
            self._settle()
            raise
        # kind's own policy, on-failure, would start a stopped node with the engine and a failed one only once.
        self.engine.keep_stopped(self.names.node)
        self.engine.write_file(self.names.node, COMPLETE, b"")

    def start(self, say: Callable[[str], None]) -> None:
        """Start the node, or let a running one have the present nameservers and proxy."""
        files.make_private_dir(self.names.folder)
        self._unlock()
        self._write_mounted()
        if self.nodes.standing() is Standing.STOPPED:
            self.engine.start(self.names.node)
        elif not self._has_proxy():
            say("restarting containerd for another proxy")
            self._in_node(proxy.RESTART)

    def stop(self) -> None:
        """Stop the nodes that run."""
        for node in self.nodes.running():
            self.engine.stop(node)

    def delete(self) -> bool:
        """Have kind remove it, and remove the files that were made for it."""
        self._unlock()
        there = bool(nodes(self.engine, self.names).all())
        if there:
            self.kind.delete(self.names.cluster, kubeconfig=self.names.kubeconfig)
        for path in (self.names.kubeconfig, self.names.resolv_conf, self.names.proxy_conf, self._config):
            path.unlink(missing_ok=True)
            files.sweep(path)
        if self.names.folder.exists() and not any(self.names.folder.iterdir()):
            self.names.folder.rmdir()
        return there

    def write_kubeconfig(self) -> None:
        """Have kind write it."""
        self.kind.write_kubeconfig(self.names.cluster, self.names.kubeconfig)

    def load(self, archive: Path) -> None:
        """Have kind put the images into the nodes."""
        self.kind.load(self.names.cluster, archive)

    @property
    def _config(self) -> Path:
        return self.names.folder / "kind.yaml"

    def _unlock(self) -> None:
        """Remove the lock that a kind which was killed left on its kubeconfig; the file is ours, and so is the turn."""
        self.names.kubeconfig.with_name(f"{self.names.kubeconfig.name}.lock").unlink(missing_ok=True)

    def _settle(self) -> None:
        """Let the engine finish the node that a stopped kind had asked for, so that it can be found and removed."""

        def coming() -> str | None:
            return None if self.engine.container(self.names.node) else "not there"

        with contextlib.suppress(WaitTimeout):
            wait_until(coming, what="the node", timeout=SETTLE, sleep=time.sleep)

    def _is_half_made(self) -> bool:
        """Whether kind was stopped before it had made the whole cluster."""
        return self.engine.read_file(self.names.node, COMPLETE) is None

    def _resolv_conf(self) -> str:
        return resolv_conf(self.nameservers, self.search)

    def _write_mounted(self) -> None:
        # Written in place: the files are mounted into the node, and replaced ones would no longer be.
        self.names.resolv_conf.write_text(self._resolv_conf())
        self.names.resolv_conf.chmod(0o644)
        self.names.proxy_conf.touch(0o600)
        self.names.proxy_conf.write_text(proxy.drop_in(self.proxied.variables()))

    def _has_proxy(self) -> bool:
        """Whether the containerd that runs was told of the proxy."""
        return proxy.read_shown(self._in_node(proxy.SHOWN)) == self.proxied.variables()

    def _in_node(self, script: str) -> str:
        status, output = self.engine.execute(self.names.node, ["sh", "-c", script])
        if status != 0:
            raise SandboxError(f"the proxy of {self.names.node} cannot be read or set", details=output)
        return output
