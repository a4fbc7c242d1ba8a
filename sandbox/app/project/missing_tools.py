"""Fetches the programs that a sandbox needs and this machine lacks: kind, kubectl and helm."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.app.agreement import Agreement
from sandbox.app.session import Session
from sandbox.bundle import released_tools
from sandbox.bundle.builder import component_build
from sandbox.bundle.released_tools import Release
from sandbox.bundle.store import Store
from sandbox.components.workloads import user_manifests
from sandbox.config.schema import Kustomization, Spec
from sandbox.errors import MissingTool, SandboxError
from sandbox.names import Home


def provide(spec: Spec, home: Home, session: Session, agreement: Agreement) -> None:
    """Fetch official releases of what is missing, once the user agrees; build what cannot be fetched.

    Raises MissingTool without consent.
    """
    store = Store(home.bundle)
    missing = [
        released_tools.releases()[name]
        for name in _needed(spec)
        if released_tools.find(name, store) is None and released_tools.can_fetch(name)
    ]
    if missing and agreement.fetch_tools(_refusal(missing, store)):
        for release in missing:
            _provide(release, store, home, session)


def _needed(spec: Spec) -> Iterator[str]:
    """Yield the programs that `up` of the spec runs."""
    if spec.cluster.supports.node_image:
        yield "kind"
    if not spec.cluster.supports.whole_cluster or any(isinstance(item, Kustomization) for item in spec.apply):
        yield "kubectl"
    if user_manifests.charts(spec.apply):
        yield "helm"


def _refusal(missing: list[Release], store: Store) -> MissingTool:
    names = " and ".join(release.name for release in missing)
    return MissingTool(
        f"{names} {'is' if len(missing) == 1 else 'are'} not installed",
        details="\n".join(
            f"{release.name} {release.version} can be fetched, about {release.megabytes} MB: {release.source}"
            for release in missing
        ),
        fix=f"sandbox up --yes keeps the official release in {store.root / 'releases'}; or install it yourself",
    )


def _provide(release: Release, store: Store, home: Home, session: Session) -> None:
    try:
        with session.task(f"{release.name} {release.version}") as task:
            task.say(release.source)
            released_tools.fetch(release, store)
            task.done = "fetched, and its digest is right"
    except SandboxError as error:
        session.say(f"{error.details}: building it from Go modules instead, which takes minutes the first time")
        with session.locked(home.bundle, "the bundle", "bundle"):
            component_build.build(store, session.report, only=(release.component,))
