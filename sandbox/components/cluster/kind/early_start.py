"""Uses a control plane as soon as its API server is ready, a few seconds before kubeadm and kind have finished."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import yaml

from sandbox.components.cluster.kind.worker_join import PORT
from sandbox.engine import Engine, reach
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Manifest
from sandbox.names import Names
from sandbox.system import files, interruption
from sandbox.system.wait import wait_until

log = logging.getLogger(__name__)

# Its user is a member of system:masters, whom RBAC lets do everything before it has any rules.
SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"
# kubeadm makes it with the same file, later, and is content if it is there (cmd/kubeadm/app/phases/kubeconfig,
# EnsureAdminClusterRoleBinding): without it admin.conf allows nothing.
RBAC = "rbac.authorization.k8s.io"
ADMINS = {
    "apiVersion": f"{RBAC}/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "kubeadm:cluster-admins"},
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "kubeadm:cluster-admins"}],
}
# The scheduler looks at these as soon as it can. The API server makes the role for it a second or two later, and one
# that was refused until then waits for up to five, and all pods with it.
SCHEDULER = {
    "": (
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "replicationcontrollers",
        "services",
    ),
    "apps": ("replicasets", "statefulsets"),
    "policy": ("poddisruptionbudgets",),
    "resource.k8s.io": ("*",),
    "scheduling.k8s.io": ("*",),
    "storage.k8s.io": ("*",),
}
STARTER: Manifest = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": "sandbox-scheduler-start"}}
STARTERS: tuple[Manifest, ...] = (
    {
        **STARTER,
        "kind": "ClusterRole",
        "rules": [
            {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}
            for group, resources in SCHEDULER.items()
        ],
    },
    {
        **STARTER,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "sandbox-scheduler-start"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:kube-scheduler"}],
    },
)
TIMEOUT = 300.0  # seconds; kubeadm gives up after four minutes
ASK = files.packaged("sandbox.components.cluster", "scripts/ask-api-server.sh")
# A kubelet that was refused waits twice as long each time, and starts no pod before it has read all Services.
RESTART = "systemctl try-restart kubelet >/dev/null 2>&1"


def key_file(names: Names) -> Path:
    """Return the kubeconfig of kubeadm's super-admin, there for a few seconds unless its command was killed in them."""
    return names.kubeconfig.with_name(f"{names.kubeconfig.name}.super-admin")


class _Over(Exception):
    """There is nothing to wait for any more."""


class EarlyStart:
    """Tells that a control plane is usable, as soon as it is, or at `finish` at the latest.

    With `restarts` its kubelet is restarted on the way. Leaving the block ends the watch.
    """

    def __init__(
        self,
        engine: Engine,
        names: Names,
        *,
        restarts: bool,
        write_kubeconfig: Callable[[], None],
        usable: Callable[[], None],
    ) -> None:
        self._engine, self._names = engine, names
        self._then = f"cat {SUPER_ADMIN}" + (f" && {RESTART}" if restarts else "")
        self._write_kubeconfig, self._usable = write_kubeconfig, usable
        self._over, self._told = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="early-start", daemon=True)

    def begin(self) -> None:
        """Watch from now on, when kubeadm begins its work."""
        self._thread.start()

    def finish(self) -> None:
        """Tell it now, when kubeadm is done, unless it was told.

        Raises SandboxError where the port of the API server does not arrive at this machine.
        """
        self.__exit__()
        if not self._told:
            self._write_kubeconfig()
            self._require_heard()
            self._usable()

    def _require_heard(self) -> None:
        # Whatever asks the API server would fail at once, and say nothing of the engine.
        node = self._engine.container(self._names.node)
        for bind in node.published.get(PORT, ()) if node else ():
            if not self._engine.is_heard(bind):
                raise reach.unheard(bind, reach.again(self._engine, self._names.home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        try:
            with contextlib.suppress(_Over, interruption.Interrupted):
                self._use_api()
        except (SandboxError, OSError, LookupError, TypeError, yaml.YAMLError) as error:
            # The caller, who waits for kubeadm itself, loses nothing but time.
            log.debug("the API server is not used early: %s", error)

    def _sleep(self, seconds: float) -> None:
        if self._over.is_set():
            raise _Over
        interruption.pause(seconds)

    def _use_api(self) -> None:
        """Tell once the cluster can be used by its own kubeconfig."""
        conf: list[str] = []

        def serving() -> str | None:
            status, said = self._engine.execute(
                self._names.node, ["bash", "-c", ASK, "ask", str(PORT), "sh", "-c", self._then]
            )
            conf[:] = [said]
            if not self._names.kubeconfig.exists():
                # kubeadm has written its own by now, if the machine is not so busy that it still makes keys.
                with contextlib.suppress(SandboxError) if status else contextlib.nullcontext():
                    self._write_kubeconfig()
            return None if status == 0 else "it does not serve yet"

        wait_until(serving, what="the API server", timeout=TIMEOUT, pause=0, sleep=self._sleep)
        with self._powerful(conf[0]) as cluster, _scheduling(cluster):
            # Not sooner, for the API server makes the roles of the others last, and what is applied would delay it.
            wait_until(cluster.trouble, what="the API server", timeout=TIMEOUT, pause=0.1, sleep=self._sleep)
            cluster.apply(ADMINS)
            self._told = True
            self._usable()

    @contextlib.contextmanager
    def _powerful(self, conf: str) -> Iterator[Cluster]:
        """Yield the cluster as kubeadm's super-admin, whose key is in a file for the length of the block."""
        own = yaml.safe_load(self._names.kubeconfig.read_text(encoding="utf-8"))
        own["users"][0]["user"] = (yaml.safe_load(conf) or {})["users"][0]["user"]
        path = key_file(self._names)
        files.write_atomic(path, yaml.safe_dump(own).encode(), mode=0o600)
        try:
            yield Cluster(path)
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _scheduling(cluster: Cluster) -> Iterator[None]:
    """Let the scheduler look at what there is for the length of the block; afterwards its own role lets it."""
    try:
        cluster.apply_all(STARTERS)
        yield
    finally:
        for one in reversed(STARTERS):
            cluster.delete(one["apiVersion"], one["kind"], one["metadata"]["name"])
