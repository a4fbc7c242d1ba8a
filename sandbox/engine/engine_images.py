"""Images in the engine: looked at, taken in, saved, built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from docker.errors import ImageNotFound

from sandbox.engine import unix_http
from sandbox.engine.base import LONG_TIMEOUT, Door
from sandbox.engine.call_cache import once
from sandbox.engine.engine_errors import EngineError, translated


class Images(Door):
    """What can be done with the engine's images."""

    def image_id(self, reference: str) -> str | None:
        """The id of a local image, which is a digest of its content; None when there is none of that name."""
        found = self.inspect_image(reference)
        return None if found is None else str(found["Id"])

    @once
    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        """What `docker image inspect` shows, or None."""
        with translated(f"looking at image {name}"):
            try:
                return dict(self._client.api.inspect_image(name))
            except ImageNotFound:
                return None

    def load(self, archive: Path) -> None:
        """Take in every image of an archive."""
        with translated(f"loading {archive.name}"), archive.open("rb") as data, self.patient():
            for event in self._client.api.load_image(data, quiet=True):
                if "error" in event:
                    raise EngineError(f"loading {archive.name} failed", details=str(event["error"]))

    def pull(self, reference: str) -> None:
        """Pull `name:tag@digest` from its registry."""
        with translated(f"pulling {reference}"), self.patient():
            self._client.images.pull(reference)

    def tag(self, reference: str, name: str) -> None:
        """Give a local image a further name."""
        repository, _, tag = name.partition(":")
        with translated(f"tagging {reference}"):
            self._client.api.tag(reference, repository, tag or "latest")

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """The bytes of one `docker save` of all `names`; closing the iterator ends it early."""
        api = self._client.api
        url = api._url("/images/get")
        local = getattr(api.get_adapter(url), "socket_path", None)
        with translated("saving images"), self.patient():
            if local:
                target = f"{urlsplit(url).path}?{urlencode([('names', name) for name in names])}"
                with suppress(unix_http.Chunked):
                    yield from unix_http.get(local, target, timeout=LONG_TIMEOUT)
                    return
            response = api._get(url, params={"names": list(names)}, stream=True)
            api._raise_for_status(response)
            try:  # not iter_content: it gives every 32 KiB that the engine flushes as a piece of its own
                while chunk := response.raw.read(1 << 20, decode_content=False):
                    yield chunk
            finally:
                response.close()

    def build(self, context: Path, tag: str) -> None:
        """Build the Dockerfile of a folder; the last lines of the build are in the error when it fails."""
        lines: list[str] = []
        with translated(f"building {tag}"), self.patient():
            for event in self._client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True):
                lines += str(event.get("stream", "")).splitlines()
                if "error" in event:
                    said = "\n".join(line for line in [*lines, str(event["error"])] if line.strip())
                    raise EngineError(f"building {tag} from {context} failed", details=said[-2000:])
