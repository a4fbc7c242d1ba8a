"""Checks of programs: installed, and new enough for a sandbox."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle import system_images
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.doctor.check import Check, Finding, error, ok, skipped, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.oci.reference import DOCKER_HUB
from sandbox.system import process


def docker(context: DoctorContext) -> Finding:
    program = process.which("docker")
    if program is None:
        return error("no docker on the PATH")
    return ok(_first_line(_said(context, program, "--version")))


def cluster_program(context: DoctorContext) -> Finding:
    spec, names = context.spec, context.names
    if spec.cluster.provider == "minikube":
        minikube = Minikube.find(spec.cluster.profile or names.cluster)
        return ok(f"minikube {minikube.require()}, {minikube.program}")
    if not spec.cluster.supports.node_image:
        return skipped("the cluster exists already")
    kind = Kind.find(names.network, bundled=Store(context.home.bundle).tool(recipes()["kind"], "kind"))
    kind.require()
    return ok(f"{_first_line(_said(context, kind.program, 'version'))}, {kind.program}")


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


def _said(context: DoctorContext, program: Path, *arguments: str) -> str:
    return process.run([program, *arguments], timeout=context.seconds - 0.5)


def _first_line(text: str) -> str:
    return process.last_lines(text.strip().partition("\n")[0], 1)


CHECKS = (
    Check(
        "tools.docker",
        "the docker command is installed",
        "install the package docker-cli or docker.io (Debian and Ubuntu)",
        docker,
    ),
    Check(
        "tools.cluster",
        "kind or minikube, whichever makes the cluster, is installed and new enough",
        "sandbox bundle build kind",
        cluster_program,
    ),
    Check("tools.images", "the system images are available", "sandbox bundle build", images),
)
