"""`bundle.json`, the first entry of a bundle file: a list of its components and files with sizes and digests."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox import __version__
from sandbox.bundle.recipe import native, recipes
from sandbox.config.schema.values import Name, Subdomain
from sandbox.errors import SandboxError, UsageError

NAME = "bundle.json"
SBOM = "sbom.cdx.json"
COMPONENTS = "components"
PROJECT = "project"


def _inside(path: str) -> str:
    if not path.isprintable() or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is not a path inside a bundle")
    return path


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class File(_Part):
    path: Annotated[str, AfterValidator(_inside)]
    size: int = Field(ge=0, lt=1 << 63)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    executable: bool = False

    @property
    def top(self) -> str:
        return "/".join(self.path.split("/")[: 2 if self.path.startswith(f"{COMPONENTS}/") else 1])


class Component(_Part):
    name: Subdomain
    version: str
    digest: str = Field(pattern="^[0-9a-f]{12}$")

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest}"

    @property
    def path(self) -> str:
        return f"{COMPONENTS}/{self.folder}"


def _apart(files: tuple[File, ...]) -> tuple[File, ...]:
    paths = {file.path for file in files}
    for file in files:
        if both := paths.intersection(map(str, PurePosixPath(file.path).parents)):
            raise ValueError(f"{min(both)} is a file and a folder")
    return files


class Contents(_Part):
    """Everything in a bundle, and the version of sandbox that saved it and can use it.

    `project` is the name of the sandbox whose spec, manifests and images are in it, if any.
    """

    format: Literal[1] = 1
    sandbox: str = __version__
    architecture: str = Field(default_factory=lambda: native().name)
    project: Name | None = None
    components: tuple[Component, ...]
    files: Annotated[tuple[File, ...], AfterValidator(_apart)]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def of(self, component: Component) -> tuple[File, ...]:
        return tuple(file for file in self.files if file.path.startswith(f"{component.path}/"))


def require_fit(contents: Contents) -> None:
    machine = native().name
    if contents.architecture != machine:
        raise UsageError(
            f"the bundle is for {contents.architecture}, this machine is {machine}",
            fix="save one on a machine with this architecture",
        )
    available = {(name, recipe.digest) for name, recipe in recipes().items()}
    other = [component.name for component in contents.components if (component.name, component.digest) not in available]
    if other:
        raise UsageError(
            f"the bundle is for sandbox {contents.sandbox}; {__version__} has other components",
            details="different: " + ", ".join(other),
            fix=f"install sandbox {contents.sandbox}, or save a bundle with this version",
        )


class Damaged(SandboxError):
    """A bundle file has changed since it was saved; `details` names each changed file in it."""

    id = "bundle-damaged"
