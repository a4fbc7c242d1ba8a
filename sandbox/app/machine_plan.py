"""The plan of a sandbox on this machine, with the engine and the images that it is made for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.app import chosen_spec
from sandbox.app.context import environ, home, keychain
from sandbox.app.views import known_sandboxes
from sandbox.bundle import system_images
from sandbox.bundle.system_images import OwnImages
from sandbox.components.edge import routes
from sandbox.config.schema import Spec
from sandbox.engine import Engine, labelled
from sandbox.errors import SandboxError
from sandbox.kube import api_transport
from sandbox.names import REGISTRY_PORT, Names
from sandbox.plan import saved_spec
from sandbox.step import Step

if TYPE_CHECKING:
    from sandbox.config.schema.origin_schema import Origin


def steps(
    spec: Spec, *, purge: bool = False, origin: Origin | None = None
) -> tuple[tuple[Step, ...], Engine, OwnImages]:
    """Return the plan of a sandbox, with the engine and the images it is made for. Raises SandboxError.

    Without its `origin`, the spec is from where the last `up` had it.
    """
    from sandbox.app.edge import ports
    from sandbox.plan import build as plan_build  # and every component

    place = home()
    engine = Engine.connect()
    spec = chosen_spec.as_made(spec)
    with engine.kept.keeping():
        if spec.cluster.supports.containers:
            labelled.require(engine, place.sandbox(spec.name))
        own = system_images.for_spec(spec, place, engine)
        origin = origin or saved_spec.origin(place.sandbox(spec.name))
        built = plan_build.build(
            ports.resolve(spec, place, engine),
            place,
            engine,
            own,
            environ=environ(),
            purge=purge,
            keychain=keychain(spec.credentials),
            is_fetched=origin is not None and origin.is_fetched,
        )
        return built, engine, own


def without_files(spec: Spec) -> tuple[Step, ...]:
    """Return the plan without steps for the user's files, which may be gone: the sandbox holds what they made."""
    from sandbox.plan import build as plan_build

    # Those with a name stay: on a profile of minikube's, the accounts at other registries are not ours to keep.
    named = tuple(addon for addon in spec.addons if "/" not in addon.addon)
    built, _, _ = steps(spec.model_copy(update={"push": None, "apply": (), "addons": named}))
    return plan_build.without_files(built, home().sandbox(spec.name))


def registry_url(spec: Spec) -> str:
    """Return the URL of the registry that the spec names, else of the sandbox's own, which must be up.

    The port is that of its container or tunnel, whatever the spec says. Raises SandboxError.
    """
    spec = chosen_spec.as_made(spec)
    if spec.registry.external:
        return spec.registry.external
    engine, names = Engine.connect(), home().sandbox(spec.name)
    if spec.cluster.supports.containers:
        saved_spec.require_engine(names)
        labelled.require(engine, names)
        container = engine.container(names.registry)
        binds = container.published.get(REGISTRY_PORT, ()) if container and container.running else ()
        port = next((bind.port for bind in binds), None)
    else:
        tunnel = routes.registry_of(names.home.edge, spec.name)
        port = tunnel.port if tunnel else None
    if port is None:
        raise known_sandboxes.not_up(spec.name, "its registry does not run; nothing was changed")
    return f"http://localhost:{port}"


@contextmanager
def explaining(spec: Spec) -> Iterator[None]:
    try:
        yield
    except SandboxError as error:
        from sandbox.app import diagnosis  # and the doctor, which nothing else needs

        diagnosis.explain(error, spec)
        raise


@contextmanager
def keeping(engine: Engine, names: Names) -> Iterator[None]:
    """Keep what the engine and the API server answer in the block, which changes nothing."""
    with engine.kept.keeping(), api_transport.keeping(names.kubeconfig):
        yield
