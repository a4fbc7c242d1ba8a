"""minikube's own addons: their images pulled, enabled without a prompt, and checked until their workloads run.

Images are pulled before an addon is enabled, since minikube waits six minutes for images that cannot come, and leaves
workloads behind that cannot start.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, title
from sandbox.kube.records import Records
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from sandbox.provider import Nodes
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
TIMEOUT = 180.0
REGISTRY_CREDS = "registry-creds"


def _disable(minikube: Minikube, records: Records, addon: str) -> None:
    minikube.disable(addon)
    records.write(RECORD, {name: by for name, by in (records.read(RECORD) or {}).items() if name != addon})


@dataclass(frozen=True, kw_only=True)
class MinikubeAddonsStep(NothingToUndo):
    """The addons of minikube's that the spec names or a command enabled.

    `asked` is one that is being enabled now.
    """

    minikube: Minikube
    names: Names
    nodes: Nodes
    uses: tuple[WantedAddon, ...]
    asked: tuple[WantedAddon, ...] = ()
    requires: tuple[str, ...] = ("wiring",)
    name: str = "minikube-addons"
    title: str = "Addons of minikube"

    def check(self) -> Status:
        addons, uses = self.listed(), self._uses()
        for use in uses:
            if use.source not in addons:
                return Status(State.ABSENT, f"minikube has no addon '{use.source}'")
            if not addons[use.source]:
                return Status(State.ABSENT, f"{use.source} is off")
        if problem := self._pending(uses):
            return Status(State.DRIFTED, problem)
        return Status(State.READY, ", ".join(use.source for use in uses) or "none")

    def apply(self, work: Work) -> None:
        addons, uses, records = self.listed(), self._uses(), Records.of(self.names)
        for use in uses:
            _require(use, addons)
        new = [use for use in uses if not addons[use.source]]
        for use in new:
            _pull_images(self.nodes, self.minikube, use, work)
        # Recorded before it is enabled, so that an interrupted run leaves no addon that nothing disables.
        enabled, of_spec = records.read(RECORD) or {}, {use.source for use in self.uses}
        ours = [use.source for use in uses if not addons[use.source] or use.source in enabled]
        records.write(RECORD, {name: "spec" if name in of_spec else "command" for name in ours})
        for use in new:
            work.say(f"enabling {use.source}")
            try:
                options = tuple(f"--{name}={value}" for name, value in sorted(use.values.items()))
                self.minikube.enable(use.source, options=options)
            except ToolFailed as error:
                raise MinikubeFailed(
                    f"minikube could not enable '{use.source}'",
                    details=error.details,
                    fix="see which image does not come: kubectl get pods --all-namespaces "
                    f"--selector {LABEL}={use.source}",
                ) from error
        wait_until(lambda: self._pending(uses), what=self.title, timeout=TIMEOUT)

    def listed(self) -> Mapping[str, bool]:
        return self.minikube.addons()

    def record(self) -> Mapping[str, str]:
        """Return the addons that were off before we enabled them, and who asked for each: `spec` or `command`."""
        return Records.of(self.names).read(RECORD) or {}

    def problem_of(self, addon: str) -> str | None:
        return self._pending((WantedAddon(addon),))

    def disable(self, addon: str) -> None:
        _disable(self.minikube, Records.of(self.names), addon)

    def _uses(self) -> tuple[WantedAddon, ...]:
        uses = (*self.uses, *self.asked)
        names = {use.source for use in uses}
        kept = (WantedAddon(name) for name, by in self.record().items() if by == "command" and name not in names)
        return (*uses, *kept)

    def _pending(self, uses: tuple[WantedAddon, ...]) -> str | None:
        cluster = Cluster(self.names.kubeconfig)
        for use in uses:
            for kind in ("Deployment", "DaemonSet"):
                for workload in cluster.list("apps/v1", kind, selector=f"{LABEL}={use.source}"):
                    if waits_for := progress(workload):
                        return f"{use.source}: {title(workload)}: {waits_for}"
        return None


def _pull_images(nodes: Nodes, minikube: Minikube, use: WantedAddon, work: Work) -> None:
    chosen, registries = (
        dict(pair.split("=", 1) for pair in use.values.get(name, "").split(",") if "=" in pair) for name in OPTIONS
    )
    images = minikube.images(use.source, chosen, registries)
    reasons = {}
    for image in dict.fromkeys(images.values()):
        if nodes.engine.execute(nodes.control_plane, ["crictl", "inspecti", "--quiet", image])[0] == 0:
            continue
        work.say(f"pulling {image}")
        status, output = nodes.engine.execute(nodes.control_plane, [*PULL, image])
        if status and not NEEDS_ACCOUNT.search(output):
            # containerd quotes the image in each of the layers through which the reason has come.
            reasons[image] = last_lines(output, 1).rpartition('": ')[2].rstrip('"') or f"status {status}"
    if not reasons:
        return
    keys = [key for key, image in images.items() if image in reasons]
    others, places = (",".join(f"{key}={value}" for key in keys) for value in ("NAME:TAG", "localhost:PORT"))
    what = f"{count(len(reasons), 'image')} of minikube's addon '{use.source}'"
    raise SandboxError(
        f"the node cannot pull {what}, which was not enabled",
        details="\n".join(f"{image}: {reason}" for image, reason in reasons.items()),
        fix="if their registry cannot be reached, have the sandbox's own hold them (sandbox push-images) and say so in "
        f'sandbox.yaml: addons: [{{addon: {use.source}, values: {{images: "{others}", registries: "{places}"}}}}]',
        id="addon-image",
    )


def _require(use: WantedAddon, addons: Mapping[str, bool]) -> None:
    if use.source not in addons:
        raise UsageError(f"minikube has no addon '{use.source}'", fix=f"it has: {', '.join(addons)}")
    if use.source == REGISTRY_CREDS:
        raise UsageError(
            f"minikube's addon '{REGISTRY_CREDS}' is not supported: minikube asks for its accounts",
            fix="write `credentials:` in sandbox.yaml, by which pods get them on every kind of cluster",
        )
    if unknown := sorted(use.values.keys() - set(OPTIONS)):
        raise UsageError(
            f"minikube's addon '{use.source}' has no value '{unknown[0]}'", fix=f"it has: {', '.join(OPTIONS)}"
        )


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
            _disable(self.minikube, records, addon)

    def _disused(self, records: Records) -> list[str]:
        enabled = records.read(RECORD) or {}
        return sorted(name for name, by in enabled.items() if by == "spec" and name not in self.used)
