"""What a sandbox is brought up with on this machine: the user's folders and accounts, engine, images and the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from platformdirs import user_cache_path, user_state_path

from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.names import Home, Names

if TYPE_CHECKING:
    from sandbox.bundle.system_images import OwnImages
    from sandbox.config.resolve import Override
    from sandbox.config.schema import Spec
    from sandbox.config.schema.credentials_schema import Credentials
    from sandbox.engine import Engine
    from sandbox.oci.credential import Keychain
    from sandbox.snapshot.snapshot_restore import Restoring
    from sandbox.step import Step

AnySpec = TypeVar("AnySpec", bound="Spec")

DEFAULT_FILE = Path("sandbox.yaml")
UNNAMED = "sandbox"


def home() -> Home:
    """The user's folders: XDG's on Linux, the system's own elsewhere; kubectl's KUBECONFIG.

    Of a list, kubectl writes what is new to the first file that exists, else to the last (client-go,
    tools/clientcmd/loader.go: GetDefaultFilename). Raises UsageError when there is no home folder.
    """
    try:
        folder = Path.home()
    except RuntimeError as error:  # no HOME, and no account of this user
        fix = "set HOME to a folder of yours"
        raise UsageError("there is no home folder", details=str(error), fix=fix, id="home") from error
    listed = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    listed = listed or [folder / ".kube" / "config"]
    # Not Path.exists, which raises where even asking is forbidden.
    chosen = next((one for one in listed if os.path.exists(one)), listed[-1])  # noqa: PTH110
    return Home(
        state=user_state_path("sandbox"),
        cache=user_cache_path("sandbox"),
        kubeconfig=chosen,
        other_kubeconfigs=tuple(one for one in dict.fromkeys(listed) if one != chosen),
    )


@contextmanager
def alone(name: str, command: str, *, seconds: float, waits: Callable[[str], None]) -> Iterator[None]:
    """Keep other commands from changing the sandbox meanwhile, once a restore that was killed has been finished.

    Wait up to `seconds` for another command; `waits` is told of it once. Raises Busy and SandboxError.
    """
    from sandbox.engine import Engine
    from sandbox.snapshot.snapshot_store import Store
    from sandbox.system import sandbox_lock

    names = home().sandbox(name)
    with sandbox_lock.take(names.home.lock(name), command, seconds=seconds, waits=waits):
        if Store(names.home.snapshots).is_unsettled(name):
            restoring(names, Engine.connect()).settle()
        yield


@contextmanager
def pushing(name: str, command: str, *, seconds: float, waits: Callable[[str], None]) -> Iterator[None]:
    """Keep other commands from changing what the sandbox's registry holds: a collection takes blobs without a manifest.

    Whoever needs the sandbox too takes this first, since `up` has only that one. Raises Busy.
    """
    from sandbox.system import sandbox_lock

    with sandbox_lock.take(
        home().lock(name) / "registry", command, seconds=seconds, waits=waits, what=f"the registry of '{name}'"
    ):
        yield


def restoring(names: Names, engine: Engine) -> Restoring:
    """What brings the snapshots of a sandbox back."""
    from sandbox.components.cluster.kind import provider as kind_provider
    from sandbox.snapshot.snapshot_restore import Restoring
    from sandbox.snapshot.snapshot_store import Store

    mark = kind_provider.nodes(engine, names).mark
    return Restoring(engine=engine, names=names, store=Store(names.home.snapshots), mark=mark)


def keychain(entries: Sequence[Credentials] = ()) -> Keychain:
    """The accounts that the spec's `credentials` name, then those of `docker login`."""
    from sandbox.components.credentials.registry_accounts import keychain

    return keychain(entries, os.environ)


def own_images(spec: Spec, home: Home, engine: Engine) -> OwnImages:
    """Where this sandbox's own images come from."""
    from sandbox.bundle.store import Store
    from sandbox.bundle.system_images import choose, in_engine

    store, cluster = Store(home.bundle), spec.cluster
    needed = in_engine(nodes=cluster.provider != "minikube")
    return choose(spec.images.source, lambda name: engine.image_id(name) is not None, store, cluster.kubernetes, needed)


def steps(spec: Spec, *, purge: bool = False) -> tuple[tuple[Step, ...], Engine, OwnImages]:
    """The plan of a sandbox on this machine, with the engine and the images it is made for."""
    from sandbox.app import requirements
    from sandbox.engine import Engine
    from sandbox.engine import labelled as owned
    from sandbox.plan import build as plan_build

    place = home()
    engine = Engine.connect()
    spec = as_made(spec)
    with engine.glance():
        if spec.cluster.is_ours:
            owned.require(engine, place.sandbox(spec.name))
        own = own_images(spec, place, engine)
        settled, accounts = requirements.settle(spec, place, engine), keychain(spec.credentials)
        return (
            plan_build.build(settled, place, engine, own, environ=os.environ, purge=purge, keychain=accounts),
            engine,
            own,
        )


def read(file: Path, overrides: Sequence[Override] = (), *, called: str | None = None) -> Spec:
    """The spec in `file`; one that says no name has that of its folder, or of the folder `called`. Raises UsageError.

    Such a spec was called `sandbox` by an earlier release: one that is up from this file still is.
    """
    from sandbox.config.resolve import load

    if called is None and _is_up_as(UNNAMED, file):
        called = UNNAMED
    return load(file, overrides, called=called)


def _is_up_as(name: str, file: Path) -> bool:
    """Whether the sandbox was brought up from this file, or from files next to it before it was kept from where."""
    from sandbox.config.schema.apply_schema import paths as applied
    from sandbox.errors import SandboxError
    from sandbox.plan import saved_spec

    names, place = home().sandbox(name), file.absolute()
    with suppress(SandboxError):  # what cannot be read tells nothing
        known = saved_spec.load(names)
        origin = saved_spec.origin(names)
        if known and origin:
            return origin == Origin.of(file)
        paths = (*applied(known.apply), *((known.push,) if known.push else ())) if known else ()
        return known is not None and all(path.is_relative_to(place.parent) for path in paths)
    return False


def as_made(spec: AnySpec) -> AnySpec:
    """The spec with the cluster that there is, where it says nothing of what is to make one."""
    from sandbox.config.resolve import with_existing_cluster
    from sandbox.errors import SandboxError
    from sandbox.plan import saved_spec

    known = None
    with suppress(SandboxError):  # what cannot be read tells nothing
        known = saved_spec.load(home().sandbox(spec.name))
    return with_existing_cluster(spec, known)


def shell(spec: Spec) -> Spec:
    """The spec of what `down` takes away, in the cluster that it was brought up in, whatever the spec says by now.

    What is inside goes with the cluster: that it could not be made now must not keep anybody from taking it down.
    """
    from sandbox.config.schema import Ingress
    from sandbox.errors import SandboxError
    from sandbox.plan import saved_spec

    cluster = spec.cluster
    with suppress(SandboxError):  # what cannot be read tells nothing
        known = saved_spec.load(home().sandbox(spec.name))
        cluster = known.cluster if known else cluster
    emptied = {"push": None, "apply": (), "addons": (), "ingress": Ingress(), "cluster": cluster}
    return spec.model_copy(update=emptied)


def registry(spec: Spec) -> str:
    """The URL of the registry that the spec names, else of the sandbox's own, which must be up and this user's.

    A port alone says nothing of whose registry is there. Raises UsageError, NameTaken.
    """
    from sandbox.app import requirements
    from sandbox.engine import Engine

    spec = as_made(spec)
    if spec.registry.external:
        return spec.registry.external
    port, wanted = requirements.registry_port(spec, home(), Engine.connect()), spec.registry.port
    if port is None:
        raise UsageError(
            f"the registry of the sandbox '{spec.name}' does not run",
            details="it is known by its container, not by a port; nothing was changed",
            fix="sandbox up, with the sandbox's own file; `sandbox list` shows the sandboxes there are",
            id="no-sandbox",
        )
    if wanted not in ("auto", port):
        raise UsageError(
            f"the registry of the sandbox '{spec.name}' has port {port}, not {wanted}",
            details="nothing was changed",
            fix="sandbox up moves it to the port that the spec names",
            id="no-sandbox",
        )
    return f"http://localhost:{port}"
