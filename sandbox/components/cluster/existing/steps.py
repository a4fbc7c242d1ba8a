"""Steps in an existing cluster: the namespace with the record of its owner, our images, and the objects in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.components import content_hash
from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.existing.tenant import SandboxNamespace, Tenant, counted
from sandbox.errors import SandboxError, UsageError
from sandbox.images.images_yaml import FromArchive
from sandbox.kube import deletion
from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.apply_attempts import apply_patiently
from sandbox.kube.manifests import namespace
from sandbox.kube.readiness import wait_ready
from sandbox.names import LABEL, Names
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until

RECORD = "sandbox"
OWNER = "sandbox.dev/owner"
GONE_TIMEOUT = 180.0
TIMEOUT = 300.0


@dataclass(frozen=True, kw_only=True)
class TenancyStep:
    """A kubeconfig for one context and namespace, and in the namespace a ConfigMap that records this sandbox.

    `paths` are the user's kubeconfigs, `owner` says who we are. The namespace is created, and later removed, only if it
    does not exist. Everything that the other steps create in the cluster is removed with this one, by its label.
    """

    names: Names
    paths: tuple[Path, ...]
    context: str
    namespace: str
    owner: str
    name: str = "cluster"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Objects in {self.namespace} of {self.context}"

    def check(self) -> Status:
        if not self.names.kubeconfig.exists():
            try:
                self._kubeconfig()
            except SandboxError as error:  # `up` ends with it
                return Status(State.ABSENT, error.brief)
            return Status(State.ABSENT)
        if files.content(self.names.kubeconfig) != self._kubeconfig():
            return Status(State.DRIFTED, f"your kubeconfig has another login for {self.context}, or another server")
        record = self._record()
        if record is None:
            return Status(State.ABSENT)
        if not self.tenant.owns(record):
            return Status(State.ABSENT, f"it is the sandbox {_holder(record)!r}'s")
        if _owner(record) != self.owner:
            return Status(State.DRIFTED, f"it is {_owner(record)}'s")
        return Status(State.READY, kubeconfig.server_of(self.names.kubeconfig))

    def apply(self, work: Work) -> None:
        self.connect()
        record = self._record()
        if record is not None and not self.tenant.owns(record):
            raise SandboxError(
                f"the namespace {self.namespace} has the sandbox {_holder(record)!r} in it",
                details=f"made by {_owner(record)}; one namespace holds one sandbox",
                fix="in sandbox.yaml, give `cluster` another namespace",
            )
        if record is None:
            self._require_namespace()
        metadata = {"name": RECORD, "annotations": {OWNER: self.owner}}
        self.tenant.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    def undo(self) -> bool:
        try:
            self.connect()
        except UsageError:  # the user's context is gone, and only our copy of it is left
            if not self.names.kubeconfig.exists():
                raise
        record = self._record()
        if record is not None and self.tenant.owns(record) and _owner(record) != self.owner:
            raise SandboxError(
                f"the sandbox in {self.namespace} was made by {_owner(record)}, not by {self.owner}",
                fix="if it is yours all the same: sandbox up --take-over, and then down",
            )
        ours = self.tenant.ours()
        for live in ours:
            self.tenant.delete(live["apiVersion"], live["kind"], live["metadata"]["name"], self.namespace, whole=True)
        wait_until(
            lambda: f"still there: {counted(left)}" if (left := self.tenant.ours()) else None,
            what=f"the end of {counted(ours)}",
            timeout=GONE_TIMEOUT,
        )
        ended = self._end_namespace()
        self.forget()
        return bool(ours) or ended

    def forget(self) -> None:
        self.names.kubeconfig.unlink(missing_ok=True)
        files.remove_empty(self.names.folder)

    @property
    def tenant(self) -> Tenant:
        return SandboxNamespace(self.names, self.namespace).cluster

    def connect(self) -> None:
        """Write the kubeconfig from the user's present one. Raises UsageError, ClusterError when no server answers.

        If no server answers, a kubeconfig that did not exist before is removed again.
        """
        content, existed = self._kubeconfig(), self.names.kubeconfig.exists()
        files.make_private_dir(self.names.folder)
        if files.content(self.names.kubeconfig) != content:
            files.write_atomic(self.names.kubeconfig, content, mode=0o600)
        try:
            self.tenant.groups()
        except ClusterError:
            if not existed:
                self.forget()
            raise

    def maker(self) -> str | None:
        self.connect()
        record = self._record()
        return _owner(record) if record is not None and self.tenant.owns(record) else None

    def _kubeconfig(self) -> bytes:
        return kubeconfig.single_context(self.paths, self.context, self.namespace)

    def _record(self) -> dict[str, Any] | None:
        return self.tenant.get("v1", "ConfigMap", RECORD, self.namespace)

    def _require_namespace(self) -> None:
        try:
            if self.tenant.get("v1", "Namespace", self.namespace) is not None:
                return
        except ClusterError as error:
            if error.status == 403:
                return  # a user who may not read the namespace may still use it
            raise
        manifest = namespace(self.namespace)
        manifest["metadata"]["labels"] = {LABEL: self.names.name}
        try:
            Cluster(self.names.kubeconfig).apply(manifest)
        except ClusterError as error:
            if error.status != 403:
                raise
            raise ClusterError(
                f"there is no namespace {self.namespace}, and you may not make one",
                details=error.details,
                fix="in sandbox.yaml, give `cluster` a namespace that you may use, or have this one made for you",
            ) from error

    def _end_namespace(self) -> bool:
        try:
            live = self.tenant.get("v1", "Namespace", self.namespace)
        except ClusterError as error:
            if error.status == 403:  # then we cannot have created it
                return False
            raise
        if live is None or not self.tenant.owns(live):
            return False
        self.tenant.delete("v1", "Namespace", self.namespace)
        deletion.await_end(self.tenant, [live])
        return True


def _holder(record: dict[str, Any]) -> str:
    return str((record["metadata"].get("labels") or {}).get(LABEL, "?"))


def _owner(record: dict[str, Any]) -> str:
    return str((record["metadata"].get("annotations") or {}).get(OWNER, "another user"))


@dataclass(frozen=True)
class ObjectsStep(NothingToUndo):
    """Objects for one purpose, the workload last; `make` returns them, from the state when it is called."""

    place: SandboxNamespace
    name: str
    title: str
    promises: str
    make: Callable[[], Sequence[Manifest]]
    requires: tuple[str, ...] = ("cluster",)

    def check(self) -> Status:
        problem = content_hash.problem(self.place.cluster, self._manifests())
        return problem or Status(State.READY, self.promises)

    def apply(self, work: Work) -> None:
        cluster, manifests = self.place.cluster, self._manifests()
        for manifest in manifests:
            work.say(title(manifest))
            apply_patiently(cluster, manifest, say=work.say)
        work.say("waiting for the pods")
        wait_ready(cluster, manifests, timeout=TIMEOUT, say=work.say)

    def _manifests(self) -> list[dict[str, Any]]:
        return [content_hash.marked(self.place.cluster.own(manifest)) for manifest in self.make()]


@dataclass(frozen=True)
class OwnPushStep(NothingToUndo):
    """Images of the bundle, pushed to the registry at `url`; their tags are as specific as their content."""

    entries: tuple[FromArchive, ...]
    url: str
    keychain: Keychain | None
    requires: tuple[str, ...]
    name: str = "own-images"
    title: str = "The sandbox's images in the registry"

    def check(self) -> Status:
        try:
            with Client(self.url, keychain=self.keychain) as client:
                missing = [
                    str(entry.target)
                    for entry in self.entries
                    if client.manifest_digest(entry.target.repository, str(entry.target.tag)) is None
                ]
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        return Status(State.READY, "in the registry")

    def apply(self, work: Work) -> None:
        from sandbox.images.push import push  # and the sources of images, which a check does without

        missing = [str(entry.path) for entry in self.entries if not entry.path.exists()]
        if missing:  # the engine may still have the images, and other checkouts have only their own versions
            raise SandboxError(
                "the bundle is not complete",
                details=f"missing: {', '.join(missing)}",
                fix="sandbox bundle build",
                id="no-bundle",
            )
        push(self.entries, self.url, keychain=self.keychain)
