"""The engine's failures in words: one kind of error for what it refuses, another for an engine that cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException

from sandbox.engine import unix_http
from sandbox.errors import Away, MissingTool, SandboxError
from sandbox.sanitize import cause


class EngineError(SandboxError):
    """The Docker Engine refused or failed; `details` is its own message."""

    id = "engine-failed"


class EngineGone(EngineError, Away):
    """The Docker Engine hung up, or does not answer any more."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Let what fails in the block be an EngineError about `doing`."""
    try:
        yield
    except APIError as error:
        raise EngineError(f"{doing} failed", details=str(error.explanation or error)) from error
    except DockerException as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except unix_http.Refused as error:
        raise EngineError(f"{doing} failed", details=str(error)) from error
    except OSError as error:  # every error of the HTTP client below is one
        raise EngineGone(
            f"{doing} failed: the Docker Engine went away",
            details=cause(error),
            fix="see that the engine runs (`docker version`), then run the same command again",
        ) from error


def unreachable(said: str) -> MissingTool:
    """Why no engine answers, by what the client library said."""
    if "Permission denied" in said or "PermissionError" in said:
        return MissingTool(
            "you may not use the Docker Engine",
            details=said,
            fix="add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again)",
            id="engine-permission",
        )
    if "timed out" in said:
        return MissingTool(
            "the Docker Engine takes the call and does not answer",
            details=said,
            fix="look at its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    return MissingTool(
        "no Docker Engine answers",
        details=said,
        fix="start it (Linux: `sudo systemctl start docker`; macOS and Windows: start Docker Desktop), "
        "or install one: scripts/engine does it on Debian and Ubuntu",
        id="engine-unreachable",
    )
