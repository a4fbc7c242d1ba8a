"""Maintains a registry: collects garbage, puts damaged blobs aside to be pushed again, deletes unlisted tags."""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from sandbox.app import chosen_spec, context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.components.edge import routes
from sandbox.components.registry.container_step import CONFIG_FILE, RegistryStep
from sandbox.config.schema import Spec
from sandbox.engine import Engine, labelled
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.images import canary_image
from sandbox.images.lockfile import LockFile
from sandbox.images.registry_content import Garbage, Tag, measure_garbage, prune, tagged, unlisted
from sandbox.names import LABEL
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.reference import Target
from sandbox.step import State


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """The tags of one registry that are not among `targets`.

    `whose` is the sandbox it belongs to, if any; in an existing cluster it is `in_cluster`.
    """

    registry: str
    keychain: Keychain | None
    targets: Sequence[Target]
    whose: str = ""
    in_cluster: bool = False

    @property
    def where(self) -> str:
        return f"the registry of sandbox '{self.whose}' at {self.registry}" if self.whose else self.registry

    @cached_property
    def _tags(self) -> tuple[Tag, ...]:
        with Client(self.registry, keychain=self.keychain) as client:
            return unlisted(client, self.targets)

    @property
    def names(self) -> list[str]:
        return [str(tag) for tag in self._tags]

    def delete(self) -> None:
        with Client(self.registry, keychain=self.keychain) as client:
            prune(client, self._tags, self.targets)

    def collection(self) -> str:
        if self.whose and not self.in_cluster:
            return f"sandbox images gc -n {self.whose}"
        # A registry that is not restarted still claims, from its cache, to have blobs that were collected.
        return f"registry garbage-collect {CONFIG_FILE}   (where it runs, while nothing is pushed; then restart it)"


def require_no_sandbox(registry: str) -> None:
    """Raise UsageError for the registry of any user's sandbox on this machine, where only its own commands delete."""
    place = address.parse(registry)
    try:  # names prove nothing
        resolved = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError:  # then nothing can be deleted there
        resolved = []
    addresses = {ip_address(each[4][0]) for each in resolved}
    addresses = {getattr(each, "ipv4_mapped", None) or each for each in addresses}
    is_here = place.is_loopback or any(each.is_loopback or each.is_unspecified for each in addresses)
    try:
        containers = Engine.connect().containers(LABEL)
    except MissingTool as error:
        if error.id == "engine-permission":
            raise
        containers = ()
    server = ""
    for container in containers:
        ports = {bind.port for binds in container.published.values() for bind in binds}
        is_reached = is_here and container.has_processes and place.port in ports
        if is_reached or not {*map(str, addresses)}.isdisjoint(container.addresses.values()):
            server = f"the container {container.name}, {labelled.whose(container)}"
    tunnels = (each.port for each in routes.REGISTRIES.load(context.home().edge) if each.forward)
    if not server and is_here and place.port in tunnels:
        server = "your own sandbox in an existing cluster"
    if server:
        raise UsageError(
            f"{registry} is the registry of a sandbox",
            details=f"it is served by {server}; nothing was changed",
            fix="in the folder of that sandbox's spec: sandbox push-images --prune, without another registry",
        )


def collect(sandbox: Sandbox, *, dry_run: bool) -> Garbage:
    """Delete what neither a tag nor a digest in the spec's `push` names; with `dry_run` only measure it.

    Meanwhile images can be pulled but not pushed. Raises SandboxError.
    """
    spec, session = sandbox.spec, sandbox.session
    with session.pushing(sandbox.name, "collect"), sandbox.alone("collect"):
        if spec.registry.external:
            raise UsageError(
                f"the registry {spec.registry.external} is not the sandbox's own",
                fix="its garbage is collected where it runs",
            )
        chosen_spec.require_own_cluster(spec, "a collection of the registry's garbage")
        machine_plan.registry_url(spec)
        registry, busybox = _registry_step(spec)
        status = registry.check()
        if status.state is not State.READY:
            raise SandboxError(f"the registry is not ready: {status.detail or status.state.value}", fix="sandbox up")
        targets = [entry.target for entry in LockFile.of(spec.push).entries] if spec.push else []
        targets.append(Target(canary_image.REPOSITORY, None, canary_image.document().digest))
        with Client(registry.url) as client, tagged(client, targets):
            garbage = measure_garbage(client, registry.garbage(), registry.leftovers(busybox))
            if (garbage.blobs or garbage.leftovers) and not dry_run:
                registry.collect(busybox)
            return garbage


def put_aside(sandbox: Sandbox, digests: Collection[str]) -> None:
    """Move damaged blobs aside, so that the registry no longer has them. Raises SandboxError."""
    registry, busybox = _registry_step(sandbox.spec)
    with sandbox.alone("push"):
        registry.quarantine(digests, busybox)


def _registry_step(spec: Spec) -> tuple[RegistryStep, str]:
    steps, _, own = machine_plan.steps(spec)
    return next(step for step in steps if isinstance(step, RegistryStep)), own.references["busybox"]
