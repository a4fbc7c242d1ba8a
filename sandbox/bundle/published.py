"""Published images, pulled by the engine by digest, and the names that this machine and its nodes give them."""

from collections.abc import Callable, Mapping

from sandbox.engine import Engine, EngineError
from sandbox.errors import SandboxError

PREFIX = "sandbox.dev/"
BUILD = "sandbox bundle build"


def local_name(component: str, reference: str) -> str:
    """Return this machine's name for a component's published image, which identifies its bytes."""
    tag, digest = reference.partition("@")[0].rpartition(":")[2], reference.rpartition(":")[2][:12]
    return f"{PREFIX}{component}:{tag}-{digest}"


def mirrored(reference: str, mirrors: Mapping[str, str]) -> str:
    host, _, path = reference.partition("/")
    return f"{mirrors[host]}/{path}" if host in mirrors else reference


def pull(engine: Engine, reference: str, say: Callable[[str], None], build: str) -> None:
    try:
        engine.pull(reference, say)
    except EngineError as error:
        fix = "check the engine's network, proxy and `docker login`; name a mirror (`images: {mirror: …}`)"
        raise SandboxError(
            f"the system image {reference.split('@')[0]} cannot be pulled",
            details=error.details,
            fix=error.fix or (f"{fix}; or build from package registries, once: {build}" if build else fix),
            id="no-images",
        ) from error


def fetch(engine: Engine, component: str, reference: str, say: Callable[[str], None], build: str) -> str:
    """Pull a component's published image if the engine lacks it, and return its name on this machine.

    Raises SandboxError.
    """
    name = local_name(component, reference)
    if engine.image_id(name) is None:
        if engine.image_id(reference) is None:
            pull(engine, reference, say, build)
        engine.tag(reference, name)
    return name
