"""`Sandbox`: one core for the command line, the Python API, the pytest plugin and the dashboard; it says nothing."""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from sandbox.app import chosen_spec, context, machine_plan
from sandbox.app.agreement import Agreement, agree_on_loss, agree_on_origin, agree_on_tenancy
from sandbox.app.chosen_spec import ChosenSpec
from sandbox.app.machine_plan import explaining, keeping
from sandbox.app.project import source
from sandbox.app.session import PATIENCE, Session, wake_paused
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.components.edge import routes
from sandbox.components.ingress.served_hosts import hosts_of, ingresses
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Bind, Engine, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home, Names, port_suffix
from sandbox.plan import lifecycle, saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.report import Reporter
from sandbox.step import State, Step
from sandbox.system import files, sandbox_lock
from sandbox.system.sandbox_lock import Busy

if TYPE_CHECKING:  # imported for types only: a push must import little
    from sandbox.images.image_push import ImagePush

# Steps that depend on the user's files: while those are corrected, the rest of the sandbox may stay.
BROUGHT = ("push", "chart-archives", "charts", "apply")
TIMEOUT = 30.0  # seconds that a page may take
# What a path and a query may have besides letters and digits (RFC 3986, section 3.3); the rest is sent as %XX.
IN_PATHS = "%/?:@!$&'()*+,;="


@dataclass(frozen=True)
class Part:
    """The state of one part of a sandbox: ready, absent, drifted or stale; `detail` is for people."""

    name: str
    title: str
    state: str
    detail: str


class Sandbox:
    """The sandbox that a spec describes; as a context manager it is up inside the block.

    `spec` is a Spec, or the path of a sandbox.yaml or of a folder with one; by default `default_file`, if there is one,
    else the default spec. A sandbox that the block brought up is removed after it, with its data, unless `keep`; one
    that was up before stays. `report` is told of every step; `patience` is for how many seconds to wait for another
    command on the same sandbox; a `session` has both. `agreement` is asked for what needs the user's consent; without
    one that is refused. Every method raises SandboxError.
    """

    def __init__(
        self,
        spec: Spec | ChosenSpec | str | os.PathLike[str] | None = None,
        *,
        keep: bool = False,
        report: Reporter | None = None,
        patience: float = PATIENCE,
        session: Session | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        self.chosen = spec if isinstance(spec, ChosenSpec) else chosen_spec.given(spec)
        self.spec = chosen_spec.as_made(self.chosen.spec)
        self.session = session or Session(report=report or Reporter(), patience=patience)
        self.agreement = agreement or Agreement()
        self._keep = keep
        self._resolved: ResolvedSpec | None = None
        self._was_there = False

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        if not (self._keep or self._was_there):
            self.down(purge=True)

    def up(
        self,
        *,
        recreate: Collection[str] = (),
        keep: bool = False,
        spared: Collection[str] = (),
        prepared: Callable[[Sequence[Step]], Sequence[Step]] = tuple,
    ) -> bool:
        """Bring it up, or repair it; returns whether anything was changed.

        On failure, changes are rolled back, unless `keep`. `recreate` names stale steps that may be recreated; where
        one of `spared` fails, all else stays. The steps are `prepared` before they are checked.
        """
        from sandbox.app import requirements

        with requirements.surveyed(self, recreate, prepared) as (spec, found):
            steps, supports = [step for step, _ in found], spec.cluster.supports
            states = {step.name: status.state for step, status in found}
            self._was_there = states.get("cluster", State.ABSENT) is not State.ABSENT
            agree_on_loss(self.name, found, self.agreement)
            agreed = self.agreement.recreate(found, recreate)
            if not supports.whole_cluster:
                agree_on_tenancy(steps, self.agreement)
            with saved_spec.coming_from(self.names, self.chosen.origin):
                if supports.containers:
                    saved_spec.record_engine(self.names, saved_spec.engine_of(Engine.connect()))
                report = self.session.report
                changed = lifecycle.up(steps, report, keep=keep, recreate=agreed, found=found, spared=spared)
            self._watch_unused(spec.pause_seconds)
        self._resolved = spec
        return changed

    def _watch_unused(self, after: float | None) -> None:
        from sandbox.app import pausing  # and the providers, which a push does not need

        if after or self.names.waker.exists():
            pausing.forget(self.names)
            if after:
                pausing.watch(self.names, after)

    @contextmanager
    def alone(self, doing: str, *, anywhere: bool = False, agreement: Agreement | None = None) -> Iterator[None]:
        """Lock the sandbox for a change, to which the user agrees if another spec brought it up.

        `doing` is the command; `agreement` is asked instead of the sandbox's own.
        """
        with self.session.alone(self.name, doing, anywhere=anywhere):
            self.agree_on_origin(doing, agreement)
            yield

    def agree_on_origin(self, doing: str, agreement: Agreement | None = None) -> None:
        agree_on_origin(self.names, self.chosen.origin, doing, agreement or self.agreement)

    def plan(self, *, recreate: Collection[str] = ()) -> Found:
        from sandbox.app import requirements

        with requirements.surveyed(self, recreate) as (_, found):
            agree_on_loss(self.name, found, self.agreement)
            return found

    def down(self, *, purge: bool = False) -> bool:
        """Take it down; with `purge` the registry's data and the certificates too. Returns whether it was there."""
        home, origin = context.home(), saved_spec.origin(self.names)
        with self.alone("down", anywhere=True):
            self._watch_unused(None)
            steps, engine, _ = machine_plan.steps(chosen_spec.shell(self.spec), purge=purge)
            if purge:  # only now is it known that it is this user's
                self.session.say(f"removing '{self.name}', {self.lasting}")
            if before := saved_spec.other_engine(self.names):
                there = f"DOCKER_HOST={shlex.quote(before)} sandbox down {self.name}"
                self.session.say(f"'{self.name}' was brought up on {before}; remove what is there by: {there}")
            left = self.names.helpers if self.spec.cluster.supports.containers else ()
            helped = [labelled.remove(engine, each, home) for each in left]  # they may use what is to be removed
            removed = lifecycle.down(steps, self.session.report)
            # Those of addons that a command enabled, which have no step in the plan.
            shutil.rmtree(self.names.addon_values, ignore_errors=True)
            files.remove_empty(self.names.folder)
            if purge:
                if origin:
                    source.distrust(home, origin)
                forget(home, self.name)
        source.sweep(home)
        self._resolved = None
        return removed or any(helped)

    @property
    def lasting(self) -> str:
        data = "the registry's data and " if self.spec.cluster.supports.containers else ""
        return f"{data}the certificates"

    def start(self) -> None:
        """Start a stopped sandbox as it was last brought up, and wait until its hosts are answered."""
        with self.alone("start"):
            self.start_locked()

    def start_locked(self) -> None:
        from sandbox.app import requirements
        from sandbox.app.edge import ports

        spec, engine, report = chosen_spec.brought_up(self.name), Engine.connect(), self.session.report
        with ExitStack() as looking, ExitStack() as reserved:
            looking.enter_context(keeping(engine, self.names))
            resolved = reserved.enter_context(ports.reserve(spec, context.home(), engine))
            reserved.enter_context(explaining(resolved))
            steps = machine_plan.without_files(resolved)
            statuses = lifecycle.survey(steps, report)
            agree_on_loss(self.name, statuses, self.agreement)
            requirements.require_inotify(resolved, engine, self.names, self.agreement)
            looking.close()  # from here on things change
            lifecycle.up(steps, report, keep=True, found=statuses)
        self._watch_unused(spec.pause_seconds)
        self._resolved = spec

    def stop(self) -> bool:
        """Stop its containers and keep all its data; returns whether any ran."""
        chosen_spec.require_own_cluster(self.spec, "sandbox stop")
        with self.alone("stop"):
            spec = chosen_spec.remembered(self.name) or self.spec
            self._watch_unused(None)
            return lifecycle.stop(machine_plan.without_files(spec), self.session.report)

    def pause(self) -> bool:
        """Pause its nodes, with everything in memory, until it is used again; returns whether any ran.

        A client at the edge, kubectl and every command wake it.
        """
        from sandbox.app import pausing

        chosen_spec.require_kind(self.spec, "sandbox pause")
        engine = Engine.connect()
        with self.alone("pause"), pausing.awake_on_failure(engine, self.names):
            if not self.names.folder.exists():
                return False
            pausing.watch(self.names, self.spec.pause_seconds)  # first: if this is killed, clients wake it all the same
            paused = pausing.pause(engine, self.names)
            if not paused:
                pausing.forget(self.names)
            return paused

    def status(self) -> Found:
        wake_paused(self.names)
        engine = Engine.connect()
        with keeping(engine, self.names):
            saved_spec.require_engine(self.names)
            steps, _, _ = machine_plan.steps(self.resolved)
            return lifecycle.survey(steps)

    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(step.name, step.title, status.state.value, status.detail) for step, status in self.status())

    def push(self, manifest: str | os.PathLike[str]) -> None:
        """Push the images of a manifest (images.yaml) into the registry; only what is missing is sent."""
        with nullcontext() if self.spec.registry.external else self.session.pushing(self.name, "push"):
            self.agree_on_origin("push")
            self.image_push(manifest).run(partial(self.session.report.event, "progress", "push"))

    def image_push(
        self,
        manifest: str | os.PathLike[str],
        *,
        registry: str | None = None,
        locked: bool = False,
        update: bool = False,
    ) -> ImagePush:
        """Read a manifest of images with its lock, to be pushed into the sandbox's registry, or another one.

        With `locked` nothing may differ from the lock, with `update` it is renewed.
        """
        from sandbox.images.image_push import ImagePush, Local  # and the sources of images
        from sandbox.images.lockfile import LockFile

        file = LockFile.of(Path(manifest))  # first: what is wrong there can be told without an engine
        url, home = registry or machine_plan.registry_url(self.spec), context.home()
        # Called when it is needed: reading the bundle's recipes takes long, and few pushes need buildx.
        buildx = partial(system_images.buildx, Store(home.bundle))
        local = Local(connect=Engine.connect, spool=home.spool, buildx=buildx)
        context.trust(self.spec)
        accounts = context.keychain(self.spec.credentials)
        return ImagePush.of(file, url, accounts, local, locked=locked, update=update)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def names(self) -> Names:
        return context.home().sandbox(self.name)

    @property
    def domain(self) -> str:
        return self.spec.domain

    @property
    def resolved(self) -> ResolvedSpec:
        """Return the spec with the ports that the sandbox has, also those that the spec leaves open."""
        if self._resolved is None:
            from sandbox.app.edge import ports

            self._resolved = ports.resolve(self.spec, context.home(), Engine.connect())
        return self._resolved

    @property
    def hosts(self) -> tuple[str, ...]:
        with_routes = self.spec.ingress.gateway_api
        return hosts_of(ingresses(Cluster(self.kubeconfig), self.spec.namespace, with_routes=with_routes))

    def url(self, host: str, path: str = "/") -> str:
        """Return the address of a page; `host` may leave out the sandbox's domain (`hello`)."""
        name = host if "." in host else f"{host}.{self.domain}"
        return f"https://{name}{port_suffix(self.resolved.edge.ports[0])}/{path.removeprefix('/')}"

    def get(
        self,
        host: str,
        path: str = "/",
        *,
        context: ssl.SSLContext | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> http.client.HTTPResponse:
        """Ask `host` (see `url`) through the edge, whether or not this machine resolves its name.

        `context`, by default `ssl_context()`, may hold a client's certificate. Raises OSError.
        """
        target = urlsplit(self.url(host, path))
        name, port = str(target.hostname), target.port or 443
        question = target.path + (f"?{target.query}" if target.query else "")
        connection = http.client.HTTPSConnection(name, port)
        plain = socket.create_connection((Bind(self.resolved.edge.listen, port).asked_at, port), timeout=TIMEOUT)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the library's own connections have
            connection.sock = (context or self.ssl_context()).wrap_socket(plain, server_hostname=name)
            content = None if body is None else body.encode()
            sent = {**(headers or {}), "Connection": "close"}
            connection.request(method, quote(question, safe=IN_PATHS), content, sent)
            return connection.getresponse()
        except BaseException:
            plain.close()
            connection.close()
            raise

    @property
    def registry(self) -> str:
        """The beginning of image names on this machine and in the cluster: `localhost:5001`."""
        return self.resolved.registry.image_prefix

    @property
    def kubeconfig(self) -> Path:
        return self.names.kubeconfig

    @property
    def context(self) -> str:
        """Return the name of the cluster's context in the user's kubeconfig; of an existing cluster, their own."""
        return self.spec.cluster.context or self.names.cluster

    @property
    def root_certificate(self) -> Path:
        """Return the certificate to trust: what curl calls --cacert, and requests `verify`."""
        return context.trusted_by_clients(self.spec)

    def ssl_context(self) -> ssl.SSLContext:
        tls = ssl.create_default_context(cafile=str(self.names.root_certificate))
        if self.spec.certs.default:  # whose root need not be in its file
            tls.load_verify_locations(self.root_certificate)
            tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return tls


def forget(home: Home, name: str) -> None:
    """Forget the sandbox `name`, whose lock is held; after the last one, only the log and snapshots stay."""
    from sandbox.app.edge import ports

    ports.sweep(home.claims)
    lock = home.lock(name)
    if not _is_any_left(home):
        for folder in filter(Path.is_dir, (home.edge, home.forwards, home.networks)):
            with suppress(SandboxError), files.exclusive(folder, seconds=0):
                if not _is_any_left(home):
                    shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(home.agreed, ignore_errors=True)
    for each in filter(Path.is_dir, (lock / "registry", lock / "dev")):
        with suppress(Busy), sandbox_lock.take(each, "sandbox down", seconds=0, waits=lambda _: None):
            sandbox_lock.forget(each)
    sandbox_lock.forget(lock)


def _is_any_left(home: Home) -> bool:
    if routes.load(home.edge):
        return True
    for folder in (home.sandboxes, home.state / "certificates", home.claims):
        with suppress(FileNotFoundError):  # another `down` may be removing it
            if any(folder.iterdir()):
                return True
    return False
