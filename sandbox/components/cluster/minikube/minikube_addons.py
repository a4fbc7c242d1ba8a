"""minikube's own addons: their images pulled, enabled without a prompt, and checked until their workloads run.

Images are pulled before an addon is enabled, since minikube waits six minutes for images that cannot come, and leaves
workloads behind that cannot start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.cluster.docker_nodes import DockerNodes
from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, title
from sandbox.kube.records import Records
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from sandbox.quantities import count
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.process import ToolFailed, last_lines
from sandbox.system.wait import wait_until

RECORD = "minikube-addons"
PULL = ("timeout", "540", "crictl", "pull")
# Pods may have an account where the node itself has none.
NEEDS_ACCOUNT = re.compile(r"authoriz|denied|forbidden", re.IGNORECASE)
LABEL = "kubernetes.io/minikube-addons"
# Values that an addon may have: `images: Key=NAME` and `registries: Key=HOST`, as `minikube addons images` lists them.
OPTIONS = ("images", "registries")
KINDS = (("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"))
TIMEOUT = 180.0
REGISTRY_CREDS = "registry-creds"


def read_enabled(records: Records) -> Mapping[str, str]:
    """Return the recorded addons, each with `spec` or `command`."""
    return records.read(RECORD) or {}


def forget_enabled(records: Records, addon: str) -> None:
    records.write(RECORD, {name: by for name, by in read_enabled(records).items() if name != addon})


def pull_images(nodes: DockerNodes, minikube: Minikube, use: WantedAddon, say: Callable[[str], None]) -> None:
    """Have the first node pull the images of an addon that it lacks. Raises SandboxError if one cannot be pulled."""
    chosen, registries = (_by_key(use.values.get(name, "")) for name in OPTIONS)
    images = minikube.images(use.source, chosen, registries)
    missing = {image: reason for image in dict.fromkeys(images.values()) if (reason := _unpullable(nodes, image, say))}
    if not missing:
        return
    keys = [key for key, image in images.items() if image in missing]
    others, places = (",".join(f"{key}={value}" for key in keys) for value in ("NAME:TAG", "localhost:PORT"))
    what = f"{count(len(missing), 'image')} of minikube's addon '{use.source}'"
    raise SandboxError(
        f"the node cannot pull {what}, which was not enabled",
        details="\n".join(f"{image}: {reason}" for image, reason in missing.items()),
        fix="if their registry cannot be reached, have the sandbox's own hold them (sandbox push-images) and say so in "
        f'sandbox.yaml: addons: [{{addon: {use.source}, values: {{images: "{others}", registries: "{places}"}}}}]',
        id="addon-image",
    )


def _by_key(text: str) -> Mapping[str, str]:
    """Return the mapping in an option of minikube's: KEY=VALUE,KEY=VALUE."""
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _unpullable(nodes: DockerNodes, image: str, say: Callable[[str], None]) -> str | None:
    """Return why the node does not have the image and cannot pull it, or None."""
    node = nodes.control_plane
    if nodes.execute(node, ["crictl", "inspecti", "--quiet", image])[0] == 0:
        return None
    say(f"pulling {image}")
    status, output = nodes.execute(node, [*PULL, image])
    if status == 0 or NEEDS_ACCOUNT.search(output):
        return None
    # containerd quotes the image in each of the layers through which the reason has come.
    return last_lines(output, 1).rpartition('": ')[2].rstrip('"') or f"status {status}"


@dataclass(frozen=True, kw_only=True)
class MinikubeAddonsStep(NothingToUndo):
    """The addons of minikube's that the spec names or a command enabled.

    `asked` is one that is being enabled now.
    """

    minikube: Minikube
    names: Names
    nodes: DockerNodes
    uses: tuple[WantedAddon, ...]
    asked: tuple[WantedAddon, ...] = ()
    requires: tuple[str, ...] = ("wiring",)
    name: str = "minikube-addons"
    title: str = "Addons of minikube"

    def check(self) -> Status:
        cluster, addons = self._cluster, self.listed()
        uses = self._uses()
        for use in uses:
            if use.source not in addons:
                return Status(State.ABSENT, f"minikube has no addon '{use.source}'")
            if not addons[use.source]:
                return Status(State.ABSENT, f"{use.source} is off")
        if problem := next(self._pending(cluster, uses), None):
            return Status(State.DRIFTED, problem)
        return Status(State.READY, ", ".join(use.source for use in uses) or "none")

    def apply(self, work: Work) -> None:
        cluster, addons = self._cluster, self.listed()
        uses = self._uses()
        for use in uses:
            self._require(use, addons)
        new = [use for use in uses if not addons[use.source]]
        for use in new:
            pull_images(self.nodes, self.minikube, use, work.say)
        # Recorded before it is enabled, so that an interrupted run leaves no addon that nothing disables.
        enabled, of_spec = read_enabled(self._records), {use.source for use in self.uses}
        ours = [use.source for use in uses if not addons[use.source] or use.source in enabled]
        self._records.write(RECORD, {name: "spec" if name in of_spec else "command" for name in ours})
        for use in new:
            work.say(f"enabling {use.source}")
            self._enable(use)
        wait_until(lambda: next(self._pending(cluster, uses), None), what=self.title, timeout=TIMEOUT)

    def listed(self) -> Mapping[str, bool]:
        """Return every addon that minikube has, and whether it is enabled."""
        return self.minikube.addons()

    def record(self) -> Mapping[str, str]:
        """Return the addons that were off before we enabled them, and who asked for each: `spec` or `command`."""
        return read_enabled(self._records)

    def problem_of(self, addon: str) -> str | None:
        """Return what an enabled addon still waits for, or None."""
        return next(self._pending(self._cluster, (WantedAddon(addon),)), None)

    def disable(self, addon: str) -> None:
        """Disable an addon, and remove it from the record."""
        self.minikube.disable(addon)
        forget_enabled(self._records, addon)

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    @property
    def _records(self) -> Records:
        return Records(self._cluster, self.names)

    def _require(self, use: WantedAddon, addons: Mapping[str, bool]) -> None:
        if use.source not in addons:
            raise UsageError(f"minikube has no addon '{use.source}'", fix=f"it has: {', '.join(addons)}")
        if use.source == REGISTRY_CREDS:
            raise UsageError(
                f"minikube's addon '{REGISTRY_CREDS}' is not supported: minikube asks for its accounts",
                fix="write `credentials:` in sandbox.yaml, by which pods get them on every kind of cluster",
            )
        unknown = sorted(use.values.keys() - set(OPTIONS))
        if unknown:
            raise UsageError(
                f"minikube's addon '{use.source}' has no value '{unknown[0]}'", fix=f"it has: {', '.join(OPTIONS)}"
            )

    def _enable(self, use: WantedAddon) -> None:
        try:
            self.minikube.enable(
                use.source, options=tuple(f"--{name}={value}" for name, value in sorted(use.values.items()))
            )
        except ToolFailed as error:
            raise MinikubeFailed(
                f"minikube could not enable '{use.source}'",
                details=error.details,
                fix=f"see which image does not come: kubectl get pods --all-namespaces --selector {LABEL}={use.source}",
            ) from error

    def _uses(self) -> tuple[WantedAddon, ...]:
        names = {use.source for use in (*self.uses, *self.asked)}
        record = read_enabled(self._records)
        kept = (WantedAddon(name) for name, by in record.items() if by == "command" and name not in names)
        return (*self.uses, *self.asked, *kept)

    def _pending(self, cluster: Cluster, uses: tuple[WantedAddon, ...]) -> Iterator[str]:
        for use in uses:
            for workload in self._workloads(cluster, use.source):
                if waits_for := progress(workload):
                    yield f"{use.source}: {title(workload)}: {waits_for}"

    def _workloads(self, cluster: Cluster, addon: str) -> Iterator[dict[str, Any]]:
        for api_version, kind in KINDS:
            yield from cluster.list(api_version, kind, selector=f"{LABEL}={addon}")


@dataclass(frozen=True)
class MinikubeDisusedStep(NothingToUndo):
    """Disables addons that an earlier spec enabled and that are not among `used`, which the present spec names."""

    minikube: Minikube
    names: Names
    used: tuple[str, ...]
    name: str = "minikube-disused"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "Unused minikube addons"

    def check(self) -> Status:
        if disused := self._disused(Records.of(self.names)):
            return Status(State.DRIFTED, f"no longer in the spec: {', '.join(disused)}")
        return Status(State.READY, "none")

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        for addon in self._disused(records):
            work.say(f"disabling {addon}")
            self.minikube.disable(addon)
            forget_enabled(records, addon)

    def _disused(self, records: Records) -> list[str]:
        enabled = read_enabled(records).items()
        return sorted(name for name, by in enabled if by == "spec" and name not in self.used)
