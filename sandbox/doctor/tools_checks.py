"""Which programs are here, and whether they are new enough for what the sandbox has them do."""

from __future__ import annotations

import re
from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import IN_ENGINE, choose
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.system import process

# https://kubernetes.io/releases/version-skew-policy/#kubectl
SKEW = 1


def docker(context: DoctorContext) -> Finding:
    """The client that kind and minikube drive the engine with."""
    program = process.which("docker")
    if program is None:
        return error("no docker on the PATH")
    return ok(_first_line(_said(context, program, "--version")))


def kind(context: DoctorContext) -> Finding:
    """The kind that makes clusters, if the sandbox's is one of them."""
    if context.spec.cluster.provider != "kind":
        return skipped(f"the sandbox's cluster is made by {context.spec.cluster.provider}")
    found = Kind.find(context.names.network, extra=Store(context.home.bundle).program(recipes()["kind"], "kind").parent)
    found.require()
    return ok(f"{_first_line(_said(context, found.program, 'version'))}, {found.program}")


def kubectl(context: DoctorContext) -> Finding:
    """The user's own client, which the sandbox does without."""
    program = process.which("kubectl")
    if program is None:
        return skipped("not installed; the sandbox does without")
    said = _said(context, program, "version", "--client")
    client, server = _minor(said), _minor(recipes()["node"].version)
    evidence = _first_line(said)
    if client is None or server is None:
        return warn(f"its version cannot be read: {evidence}")
    return warn(f"{evidence}, the cluster is 1.{server}") if abs(client - server) > SKEW else ok(evidence)


def minikube(context: DoctorContext) -> Finding:
    """A second way to have a cluster, which most sandboxes do without."""
    if context.spec.cluster.provider == "minikube":
        found = Minikube.find(context.spec.cluster.profile or context.names.cluster)
        return ok(f"minikube {found.require()}, {found.program}")
    program = process.which("minikube")
    if program is None:
        return skipped("not installed; the sandbox does without")
    return ok(_first_line(_said(context, program, "version", "--short")))


def images(context: DoctorContext) -> Finding:
    """Whether an `up` could do without the network."""
    engine, store = with_engine(context).engine, Store(context.home.bundle)
    own = choose(context.spec.images.source, lambda name: engine.image_id(name) is not None, store)
    missing = [name for name in IN_ENGINE if engine.image_id(own.references[name]) is None]
    if not missing:
        return ok(f"{len(IN_ENGINE)} images are in the engine, from the {own.source}")
    if own.source == "bundle":
        return ok(f"{', '.join(missing)} will be loaded from the bundle")
    return warn(f"{', '.join(missing)} must be pulled from their registries")


def _said(context: DoctorContext, program: Path, *arguments: str) -> str:
    """What a program prints, which has to end before nobody waits for it any more."""
    return process.run([program, *arguments], timeout=context.seconds - 0.5)


def _minor(text: str) -> int | None:
    found = re.search(r"\bv1\.(\d+)\.", text)
    return int(found[1]) if found else None


def _first_line(text: str) -> str:
    return process.last_lines(text.strip().partition("\n")[0], 1)


CHECKS = (
    Check(
        "tools.docker",
        "the docker command is here",
        "install the package docker-cli or docker.io (Debian and Ubuntu)",
        docker,
    ),
    Check("tools.kind", "a kind that is new enough is here", "sandbox bundle build kind", kind),
    Check(
        "tools.kubectl",
        "kubectl, if it is here, fits the cluster's version",
        "install a kubectl at most one minor version away from the cluster's",
        kubectl,
    ),
    Check("tools.minikube", "minikube, if it is here, runs", "reinstall it, or remove it", minikube),
    Check("tools.images", "the sandbox's own images are here", "sandbox bundle build", images),
)
