"""The `sync` rules of images.yaml: which files of a build context go where in running containers."""

from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from sandbox.config.model import Document


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{text}' is not a path in the context; write it from there, such as src")
    return str(path)


def _absolute(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or str(path) == "/":
        raise ValueError(f"'{text}' is not a place in a container; write its whole path, such as /app/src")
    return str(path)


class SyncRule(Document):
    """Files and folders to copy, and what happens in the container then."""

    model_config = ConfigDict(strict=False)

    paths: dict[Annotated[str, AfterValidator(_inside)], Annotated[str, AfterValidator(_absolute)]] = Field(
        min_length=1, description="Files and folders of the context, each with its whole path in the container."
    )
    run: tuple[str, ...] = Field(default=(), description="A command to run in the container then, as a list of words.")
    restart: bool = Field(
        default=False,
        description="Whether the program is started again then, in the container as it is; needs a shell in the image.",
    )

    @model_validator(mode="after")
    def _has_one_action(self) -> Self:
        if self.run and self.restart:
            raise ValueError("`run:` and `restart:` exclude each other; `restart` starts the image's own program")
        return self

    def place(self, path: str) -> str | None:
        """Return where a path of the context goes, by the longest of `paths` that has it; None where nowhere."""
        file = PurePosixPath(path)
        folders = sorted(filter(file.is_relative_to, self.paths), key=lambda path: len(PurePosixPath(path).parts))
        return str(PurePosixPath(self.paths[folders[-1]]) / file.relative_to(folders[-1])) if folders else None
