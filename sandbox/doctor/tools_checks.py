"""Checks of programs: installed, and new enough for a sandbox."""

from __future__ import annotations

import re
from pathlib import Path

from sandbox.bundle import system_images
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.errors import SandboxError
from sandbox.oci.reference import DOCKER_HUB
from sandbox.system import process

# https://kubernetes.io/releases/version-skew-policy/#kubectl
SKEW = 1


def docker(context: DoctorContext) -> Finding:
    """Check the docker client, which kind and minikube need."""
    program = process.which("docker")
    if program is None:
        return error("no docker on the PATH")
    return ok(_first_line(_said(context, program, "--version")))


def kind(context: DoctorContext) -> Finding:
    """Check kind, if it makes the sandbox's cluster."""
    if not context.spec.cluster.supports.node_image:
        return skipped(f"the provider is {context.spec.cluster.provider}")
    found = Kind.find(context.names.network, bundled=Store(context.home.bundle).tool(recipes()["kind"], "kind"))
    found.require()
    return ok(f"{_first_line(_said(context, found.program, 'version'))}, {found.program}")


def kubectl(context: DoctorContext) -> Finding:
    """Check the user's kubectl, which a sandbox does not need."""
    program = process.which("kubectl")
    if program is None:
        return skipped("not installed; the sandbox does not need it")
    said = _said(context, program, "version", "--client")
    client, server = _minor(said), _minor(_kubernetes(context))
    evidence = _first_line(said)
    if client is None:
        return warn(f"its version cannot be read: {evidence}")
    if server is None:
        return ok(f"{evidence}; the cluster chooses its own version")
    return warn(f"{evidence}, the cluster is 1.{server}") if abs(client - server) > SKEW else ok(evidence)


def minikube(context: DoctorContext) -> Finding:
    """Check minikube, which only sandboxes with that provider need."""
    if context.spec.cluster.provider == "minikube":
        found = Minikube.find(context.spec.cluster.profile or context.names.cluster)
        return ok(f"minikube {found.require()}, {found.program}")
    program = process.which("minikube")
    if program is None:
        return skipped("not installed; the sandbox does not need it")
    return ok(_first_line(_said(context, program, "version", "--short")))


def images(context: DoctorContext) -> Finding:
    """Tell where `up` takes its images from."""
    engine = with_engine(context).engine
    components = system_images.in_engine(context.spec.cluster)
    own = system_images.for_spec(context.spec, context.home, engine)
    missing = [name for name in components if engine.image_id(own.references[name]) is None]
    if not missing:
        return ok(f"{len(components)} images are in the engine, from the {own.source}")
    if own.source == "bundle":
        return ok(f"{', '.join(missing)} will be loaded from the bundle")
    where = context.spec.images.mirrors.get(DOCKER_HUB, DOCKER_HUB)
    return ok(f"{', '.join(missing)} will be pulled from {where} by the first `up`")


def _kubernetes(context: DoctorContext) -> str:
    """Return the version that the sandbox's cluster has or will have, nothing where its provider chooses it."""
    chosen = context.spec.cluster.kubernetes
    if chosen or not context.spec.cluster.supports.node_image:
        return chosen or ""
    if isinstance(context.docker, SandboxError):
        return recipes()["node"].version
    return system_images.for_spec(context.spec, context.home, context.docker.engine).kubernetes


def _said(context: DoctorContext, program: Path, *arguments: str) -> str:
    """Return what a program prints; it has to end before the time for all checks is over."""
    return process.run([program, *arguments], timeout=context.seconds - 0.5)


def _minor(text: str) -> int | None:
    found = re.search(r"\bv1\.(\d+)\.", text)
    return int(found[1]) if found else None


def _first_line(text: str) -> str:
    return process.last_lines(text.strip().partition("\n")[0], 1)


CHECKS = (
    Check(
        "tools.docker",
        "the docker command is installed",
        "install the package docker-cli or docker.io (Debian and Ubuntu)",
        docker,
    ),
    Check("tools.kind", "kind is installed and new enough", "sandbox bundle build kind", kind),
    Check(
        "tools.kubectl",
        "kubectl, if installed, fits the cluster's version",
        "install a kubectl at most one minor version away from the cluster's",
        kubectl,
    ),
    Check("tools.minikube", "minikube, if installed, runs", "reinstall it, or remove it", minikube),
    Check("tools.images", "the system images are available", "sandbox bundle build", images),
)
