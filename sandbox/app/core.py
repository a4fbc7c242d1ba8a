"""`Sandbox`: a sandbox as an object and a context manager, which says nothing and returns or raises."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sandbox.app import checkouts, remains, requirements
from sandbox.app import context as world
from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.components.ingress.default_backend import hosts_of
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import Bind, Engine
from sandbox.errors import UsageError
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import lifecycle, saved_spec
from sandbox.report import Reporter, Silent
from sandbox.step import State, Step

ANSWER_TIMEOUT = 30.0


@dataclass(frozen=True)
class Part:
    """How one part of a sandbox stands: `state` is ready, absent, drifted or stale; `detail` is for people."""

    name: str
    title: str
    state: str
    detail: str


class Sandbox:
    """The sandbox that a spec describes; as a context manager it is up inside the block.

    `spec` is a Spec, or the path of a sandbox.yaml or of a folder with one; by default ./sandbox.yaml, if there is one,
    else a sandbox with nothing special. A sandbox that the block brought up is gone after it, with its data, unless
    `keep`; one that was there before stays. `report` hears of every step; `patience` is for how many seconds to wait
    for another command on the same sandbox. Every method raises SandboxError.
    """

    def __init__(
        self,
        spec: Spec | str | os.PathLike[str] | None = None,
        *,
        keep: bool = False,
        report: Reporter | None = None,
        patience: float = 600.0,
    ) -> None:
        file = _file(spec)
        self.spec = spec if isinstance(spec, Spec) else world.read(file) if file else Spec()
        # A spec that a program made is the program's to answer for.
        self._origin = None if isinstance(spec, Spec) else Origin.of(file) if file else Origin()
        self._keep = keep
        self._report = report or Silent()
        self._patience = patience
        self._settled: ResolvedSpec | None = None
        self._was_there = False

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        if not (self._keep or self._was_there):
            self.down(purge=True)

    def up(self) -> bool:
        """Bring it up, or repair it; returns whether anything was changed. What fails is taken back."""
        place = world.home()
        with self._alone("up"), requirements.reserve(self.spec, place, Engine.connect()) as settled:
            steps, engine, own = world.steps(settled)
            requirements.require(settled, place, own)
            _require_agreement(steps)
            self._require_same_origin()
            with engine.glance():
                found = lifecycle.survey(steps, self._report)
            self._was_there = any(one.name == "cluster" and is_.state is not State.ABSENT for one, is_ in found)
            with saved_spec.coming_from(self._names, self._origin):
                changed = lifecycle.up(steps, self._report, found=found)
        self._settled = settled
        return changed

    def down(self, *, purge: bool = False) -> None:
        """Take it down; with `purge` the registry's data and the certificates too."""
        with self._alone("down"):
            steps, _, _ = world.steps(world.shell(self.spec), purge=purge)
            lifecycle.down(steps, self._report)
            if purge:
                remains.sweep(world.home(), self.spec.name)
        checkouts.sweep(world.home())
        self._settled = None

    def parts(self) -> tuple[Part, ...]:
        """How every part stands; changes nothing."""
        steps, engine, _ = world.steps(self._settled or self.spec)
        with engine.glance():
            found = lifecycle.survey(steps)
        return tuple(Part(step.name, step.title, is_.state.value, is_.detail) for step, is_ in found)

    def push(self, manifest: str | os.PathLike[str]) -> None:
        """Push the images of a manifest (images.yaml) into the registry; only what is missing crosses."""
        spec, accounts = self.settled, world.keychain(self.spec.credentials)
        images = LockFile.of(Path(manifest))
        world.registry(spec)
        step = PushStep(Engine.connect(), images, spec.registry.push_url, accounts, world.home().spool)
        with nullcontext() if spec.registry.external else self._pushing():
            step.apply(_Work(self._report))

    @property
    def name(self) -> str:
        """The sandbox's name."""
        return self.spec.name

    @property
    def domain(self) -> str:
        """The domain whose hosts the sandbox answers."""
        return self.spec.domain

    @property
    def settled(self) -> ResolvedSpec:
        """The spec with the ports that the sandbox has, also those that the spec leaves open."""
        if self._settled is None:
            self._settled = requirements.settle(self.spec, world.home(), Engine.connect())
        return self._settled

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that an Ingress in the cluster answers for."""
        return hosts_of(Cluster(self.kubeconfig).list("networking.k8s.io/v1", "Ingress"))

    def url(self, host: str, path: str = "/") -> str:
        """The address of a page; `host` may leave out the sandbox's domain (`hello`)."""
        name = host if "." in host else f"{host}.{self.domain}"
        port = self.settled.proxy.ports[0]
        return f"https://{name}{'' if port == 443 else f':{port}'}{path}"

    def get(self, host: str, path: str = "/", *, context: ssl.SSLContext | None = None) -> http.client.HTTPResponse:
        """The answer of `host` (see `url`), asked through the proxy whether or not this machine resolves its name.

        `context`, by default `ssl_context()`, may hold a client's certificate. Raises OSError.
        """
        address = urlsplit(self.url(host))
        name, port = str(address.hostname), address.port or 443
        place = Bind(self.settled.proxy.listen, port).asked_at
        connection = http.client.HTTPSConnection(name, port)
        plain = socket.create_connection((place, port), timeout=ANSWER_TIMEOUT)
        connection.sock = (context or self.ssl_context()).wrap_socket(plain, server_hostname=name)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    @property
    def registry(self) -> str:
        """The registry, as image names begin with it on this machine and in the cluster: `localhost:5001`."""
        return self.settled.registry.image_prefix

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with this cluster alone, for kubectl and Kubernetes' clients."""
        return self._names.kubeconfig

    @property
    def context(self) -> str:
        """The name of the cluster's context in the user's kubeconfig."""
        return self._names.cluster

    @property
    def root_certificate(self) -> Path:
        """The certificate to trust: what curl calls --cacert, and requests `verify`."""
        return self._names.root_certificate

    def ssl_context(self) -> ssl.SSLContext:
        """A context for clients that trusts this sandbox and nobody else."""
        return ssl.create_default_context(cafile=str(self.root_certificate))

    @property
    def _names(self) -> Names:
        return world.home().sandbox(self.spec.name)

    def _require_same_origin(self) -> None:
        """Raise UsageError where another file's sandbox has this name: the user is to agree to that, not a program."""
        known = saved_spec.origin(self._names)
        if known and self._origin and not self._origin.may_replace(known):
            raise UsageError(
                f"'{self.name}' was brought up from elsewhere",
                details=f"before  {known}\nnow     {self._origin}",
                fix=f"give this one another name, or: sandbox up -f {shlex.quote(self._origin.source)} --yes",
                id="other-origin",
            )

    @contextmanager
    def _alone(self, doing: str) -> Iterator[None]:
        with world.alone(self.spec.name, f"Sandbox.{doing}", seconds=self._patience, waits=lambda _: None):
            yield

    @contextmanager
    def _pushing(self) -> Iterator[None]:
        with world.pushing(self.spec.name, "Sandbox.push", seconds=self._patience, waits=lambda _: None):
            yield


@dataclass(frozen=True)
class _Work:
    """A step's progress, when there is no walk around it."""

    report: Reporter

    def say(self, line: str) -> None:
        self.report.progress("push", line)

    def usable(self) -> None:
        return


def _file(given: Spec | str | os.PathLike[str] | None) -> Path | None:
    match given:
        case Spec():
            return None
        case None:
            return world.DEFAULT_FILE if world.DEFAULT_FILE.exists() else None
        case _:
            path = Path(given)
            return path / world.DEFAULT_FILE if path.is_dir() else path


def _require_agreement(steps: Sequence[Step]) -> None:
    """A program does not speak for its user where somebody else's cluster is concerned."""
    for step in steps:
        if isinstance(step, TenancyStep) and (why := step.strangeness()):
            raise UsageError(
                f"nobody has agreed yet to a sandbox in {step.namespace} of {step.context}",
                details=why,
                fix="sandbox up once at a terminal, which asks, or with --yes",
                id="consent",
            )
