"""Finds, loads, saves and removes images of the engine, and lists the files that a build sends."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.utils.build import PatternMatcher, exclude_paths

from sandbox.engine.base import Door, EngineError, translated
from sandbox.system import files, interruption

DOCKERFILE = "Dockerfile"
PROBE = 3.0  # seconds


def build_context(folder: Path, dockerfile: str | None = None) -> set[str]:
    """Return the files and folders that a build sends to the engine: those that its `ignore_file` does not exclude.

    Raises FileNotFoundError when a folder is removed meanwhile, SandboxError when that file cannot be read.
    """
    return set(exclude_paths(str(folder), _ignore_patterns(folder, dockerfile), dockerfile or DOCKERFILE))


def excluded(folder: Path, dockerfile: str | None = None) -> Callable[[str], bool]:
    """Return a function that tells whether the `ignore_file` excludes a path of the build context `folder`.

    Raises SandboxError for such a file that cannot be read.
    """
    # As exclude_paths does it: the builder needs the one and reads the other.
    patterns = _ignore_patterns(folder, dockerfile)
    matcher = PatternMatcher([*patterns, f"!{dockerfile or DOCKERFILE}", "!.dockerignore"])
    return lambda path: bool(matcher.matches(path))


def ignore_file(folder: Path, dockerfile: str | None = None) -> Path:
    """Return the file that says what a build leaves out: BuildKit reads that of the Dockerfile, if there is one."""
    own = folder / f"{dockerfile or DOCKERFILE}.dockerignore"
    return own if own.is_file() else folder / ".dockerignore"


def _ignore_patterns(folder: Path, dockerfile: str | None) -> list[str]:
    path = ignore_file(folder, dockerfile)
    try:
        text = files.read_regular(path).decode("utf-8-sig", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:  # without it, what it keeps out of the image would be in it
        raise files.refused(f"{path} cannot be read", error) from error
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


class Images(Door):
    def image_id(self, reference: str) -> str | None:
        """Return the id of a local image, which is a digest of its content; None when there is none of that name."""
        image = self.inspect_image(reference)
        return None if image is None else str(image["Id"])

    def any_image(self, repository: str) -> str | None:
        with translated("listing images"):
            images = self._ask("images", filters={"reference": [repository]})
        return str(images[0]["Id"]) if images else None

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        return self._inspect(f"looking at image {name}", "inspect_image", name)

    def load(self, archive: Path) -> None:
        with translated(f"loading {archive.name}"), archive.open("rb") as data:
            for event in self._slow.load_image(data, quiet=True):
                if "error" in event:
                    raise EngineError(f"loading {archive.name} failed", details=str(event["error"]))

    def pull(self, reference: str, say: Callable[[str], None] = lambda _: None) -> None:
        """Pull `name:tag@digest` from its registry; `say` gets what was received, about once a second."""
        layers: dict[str, tuple[int, int]] = {}
        reported = time.monotonic()
        name, _, digest = reference.partition("@")
        with translated(f"pulling {name}"):
            # The digest in place of a tag, as the API has no field for both.
            for event in self._slow.pull(name, tag=digest or None, stream=True, decode=True):
                interruption.check()
                if "error" in event:
                    raise EngineError(f"pulling {name} failed", details=str(event["error"]))
                detail = event.get("progressDetail") or {}
                if event.get("status") == "Downloading" and detail.get("total"):
                    layers[event["id"]] = (detail.get("current", 0), detail["total"])
                if layers and time.monotonic() - reported >= 1:
                    reported = time.monotonic()
                    received, total = (sum(sizes) / 1e6 for sizes in zip(*layers.values(), strict=True))
                    say(f"{received:.0f} of {total:.0f} MB")

    def can_pull(self, reference: str) -> bool:
        """Tell whether a registry has the image `name:tag@digest`, as far as is known after three seconds.

        The engine itself asks, by its own proxy and mirrors. A registry that wants an account has it, too: a pull uses
        those of `docker login`. Podman cannot ask.
        """
        name, _, digest = reference.partition("@")
        api = self._api
        url = api._url("/distribution/{0}/json", f"{name.rpartition(':')[0]}@{digest}")
        try:  # not inspect_distribution, which takes no timeout
            api._result(api._get(url, timeout=PROBE))
        except APIError as error:
            return any(word in str(error).lower() for word in ("unauthorized", "denied", "authentication required"))
        except OSError:
            return False
        return True

    def tag(self, reference: str, name: str) -> None:
        repository, _, tag = name.partition(":")
        with translated(f"tagging {reference}"):
            self._api.tag(reference, repository, tag or "latest")

    def commit(self, container: str, name: str, config: Mapping[str, Any]) -> None:
        repository, _, tag = name.rpartition(":")
        with translated(f"making image {name}"):
            self._slow.commit(container, repository, tag, conf=dict(config))

    def labelled_images(self, label: str) -> tuple[str, ...]:
        with translated("listing images"):
            images = self._ask("images", filters={"label": [label]})
        return tuple(name for image in images for name in image.get("RepoTags") or ())

    def remove_image(self, name: str) -> bool:
        """Remove an image's name and, with its last one, the image; returns False if a container uses it."""
        with translated(f"removing image {name}"):
            try:
                self._api.remove_image(name)
            except APIError:
                return False
        return True

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield the bytes of one `docker save` of all `names`; closing the iterator ends it early."""
        with translated("saving images"):
            api = self._slow
            response = api._get(api._url("/images/get"), params={"names": list(names)}, stream=True)
            api._raise_for_status(response)
            try:  # not iter_content: it gives every 32 KiB that the engine flushes as a piece of its own
                while chunk := response.raw.read(1 << 20, decode_content=False):
                    yield chunk
            finally:
                response.close()
