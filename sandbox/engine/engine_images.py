"""Images in the engine: found, loaded, saved, built.

What is saved over a Unix socket is asked for in HTTP/1.0, so that the answer comes without chunks: the Docker Engine
makes one of every 32 KiB, and taking them apart costs more than reading what is in them.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from docker.errors import ImageNotFound

from sandbox.engine.base import LONG_TIMEOUT, Door, EngineError, Refused, once, translated
from sandbox.engine.image_pull import Pull
from sandbox.system import interruption

CHUNK = 1 << 20
EVERY = 1.0  # seconds between lines about a pull
LARGEST_HEAD = 64 << 10


def build_context(folder: Path) -> set[str]:
    """Return the files and folders that a build sends to the engine: those that .dockerignore does not exclude."""
    from docker.utils.build import exclude_paths

    return set(exclude_paths(str(folder), _ignore_patterns(folder)))


def excluded(folder: Path) -> Callable[[str], bool]:
    """Return what tells whether .dockerignore excludes a path of the build context `folder`."""
    from docker.utils.build import PatternMatcher

    # As exclude_paths does, for the builder needs the one and reads the other.
    matcher = PatternMatcher([*_ignore_patterns(folder), "!Dockerfile", "!.dockerignore"])
    return lambda path: bool(matcher.matches(path))


def _ignore_patterns(folder: Path) -> list[str]:
    try:
        lines = (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    return [line.strip() for line in lines if line.strip() and line[0] != "#"]


class Chunked(OSError):
    """The server sent chunks although HTTP/1.0 has none; ask it in another way."""


def get_unchunked(path: str | os.PathLike[str], target: str, *, timeout: int) -> Generator[bytes]:
    """Yield the response of `target` (a path with its query) on the socket at `path`, to the end of the connection.

    `timeout` is the longest silence, in seconds. Raises OSError. The end of the answer does not tell that it was
    whole: what is read must have an end of its own, as a tar has.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        # Not settimeout, which would make every read return what little is there.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", timeout, 0))
        connection.connect(os.fspath(path))
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, rest = b"", b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(LARGEST_HEAD)
            if not more or len(head) > LARGEST_HEAD:
                raise ConnectionResetError("the answer broke off")
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        if b"\r\ntransfer-encoding:" in head.lower():
            raise Chunked("the answer comes in chunks")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise Refused(_message(head, rest + connection.recv(LARGEST_HEAD, socket.MSG_WAITALL)))
        if rest:
            yield rest
        while chunk := connection.recv(CHUNK, socket.MSG_WAITALL):
            yield chunk


def _message(head: bytes, body: bytes) -> str:
    """Return what a refusal says: the engine's `message`, else the status."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return head.partition(b"\r\n")[0].decode(errors="replace")


class Images(Door):
    """What can be done with the engine's images."""

    def image_id(self, reference: str) -> str | None:
        """Return the id of a local image, which is a digest of its content; None when there is none of that name."""
        found = self.inspect_image(reference)
        return None if found is None else str(found["Id"])

    @once
    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        """Return what `docker image inspect` shows, or None."""
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

    def pull(self, reference: str, say: Callable[[str], None] = lambda _: None) -> None:
        """Pull `name:tag@digest` from its registry; `say` is told how far it is, about once a second."""
        pull, said = Pull(started=time.monotonic()), 0.0
        name, _, digest = reference.partition("@")
        with translated(f"pulling {name}"), self.patient():
            # The digest in place of a tag, as the API has no field for both.
            for event in self._client.api.pull(name, tag=digest or None, stream=True, decode=True):
                interruption.check()
                if "error" in event:
                    raise EngineError(f"pulling {name} failed", details=str(event["error"]))
                pull.add(event)
                now = time.monotonic()
                if now - said >= EVERY and (line := pull.line(now)):
                    said = now
                    say(line)

    def tag(self, reference: str, name: str) -> None:
        """Give a local image a further name."""
        repository, _, tag = name.partition(":")
        with translated(f"tagging {reference}"):
            self._client.api.tag(reference, repository, tag or "latest")

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield the bytes of one `docker save` of all `names`; closing the iterator ends it early."""
        api = self._client.api
        url = api._url("/images/get")
        local = getattr(api.get_adapter(url), "socket_path", None)
        with translated("saving images"), self.patient():
            if local:
                target = f"{urlsplit(url).path}?{urlencode([('names', name) for name in names])}"
                with suppress(Chunked):
                    yield from get_unchunked(local, target, timeout=LONG_TIMEOUT)
                    return
            response = api._get(url, params={"names": list(names)}, stream=True)
            api._raise_for_status(response)
            try:  # not iter_content: it gives every 32 KiB that the engine flushes as a piece of its own
                while chunk := response.raw.read(1 << 20, decode_content=False):
                    yield chunk
            finally:
                response.close()

    def build(self, context: Path, tag: str, **options: Any) -> None:
        """Build a folder by the legacy builder; the last lines of the build are in the error when it fails.

        `options` are `dockerfile`, `args`, `stage` and `cache_from`.
        """
        lines: list[str] = []
        names = {"args": "buildargs", "stage": "target"}
        more = {names.get(key, key): value for key, value in options.items()}
        with translated(f"building {tag}"), self.patient():
            for event in self._client.api.build(path=str(context), tag=tag, rm=True, forcerm=True, decode=True, **more):
                lines += str(event.get("stream", "")).splitlines()
                if "error" in event:
                    said = "\n".join(line for line in [*lines, str(event["error"])] if line.strip())
                    raise EngineError(f"building {tag} from {context} failed", details=said[-2000:])
