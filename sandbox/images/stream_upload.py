"""Uploads layers from a stream that passes only once, while they pass and while the stream goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from queue import Queue
from types import MappingProxyType

from sandbox.errors import SandboxError
from sandbox.images.transfer import Destination, Fact
from sandbox.oci import digest as digests
from sandbox.oci.digest import Measured
from sandbox.oci.manifest import OCI_LAYER, Descriptor
from sandbox.oci.oci_errors import RegistryError

DEPTH = 8


class ChunkQueue:
    """A bounded queue with an end. One thread pours, one other iterates; both must do so to the end."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._queue: Queue[bytes | BaseException | None] = Queue(depth)
        self._ended = False

    def pour(self, chunks: Iterable[bytes]) -> None:
        """Pass on all of `chunks`, waiting while the other side is behind; an error here is raised there too."""
        try:
            for chunk in chunks:
                self._queue.put(chunk)
        except BaseException as error:
            self._queue.put(error)
            raise
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while (item := self._next()) is not None:
            yield item

    def drain(self) -> None:
        """Let the pouring side finish although no one wants the rest."""
        with contextlib.suppress(BaseException):
            while self._next() is not None:
                pass

    def _next(self) -> bytes | None:
        item = None if self._ended else self._queue.get()
        if item is None or isinstance(item, BaseException):
            self._ended = True
        if isinstance(item, BaseException):
            raise item
        return item


AT_ONCE = 3


class StreamUpload:
    """Receives layers and sends missing ones to a repository that wants them, from where others mount them.

    `wanted` maps the digests that are expected to the repositories that want them, `seen` others to a repository that
    may have them. A layer that is not expected, or whose digest is not known before its last byte, goes to the first of
    `repositories` that accepts it. Errors are kept in `failures`, under None when the digest never became known, and
    the stream goes on: other layers may be fine. A repository that is closed to us is kept in `refused` and not asked
    again; `stuck` maps layers that were refused, perhaps after all their bytes had passed, to the repository that did
    so. At most AT_ONCE layers are sent at once, so that a registry's work at the end of one overlaps with the next.
    """

    def __init__(
        self,
        destination: Destination,
        wanted: Mapping[str, tuple[str, ...]],
        repositories: tuple[str, ...],
        seen: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._client = destination.client
        self._inventory = destination.inventory
        self._observer = destination.observer
        self._pool = destination.pool
        self._wanted = wanted
        self._repositories = repositories
        self._seen = seen
        self._sending: dict[str, Future[None]] = {}
        self.failures: dict[str | None, SandboxError] = {}
        self.refused: dict[str, RegistryError] = {}
        self.stuck: dict[str, str] = {}

    def has(self, digest: str) -> bool:
        """Tell whether the registry has the layer in any repository that could give it to the others."""
        if self._inventory.anywhere(digest):
            return True
        homes = self._wanted.get(digest) or (self._seen.get(digest, self._repositories[0]),)
        return any(self._held(repository, digest) for repository in homes)

    def wants_unknown(self) -> bool:
        """Tell whether a layer of unknown digest could be one that is missing."""
        return not all(
            digest in self._sending or self.has(digest) or all(home in self.refused for home in homes)
            for digest, homes in self._wanted.items()
        )

    def buffered(self, data: bytes, digest: str | None) -> None:
        """Take a layer that is in memory as a whole; one that is not expected is dropped unless it has a name."""
        name = digest or digests.of(data)
        if name in self._sending or self.has(name) or not (digest or name in self._wanted):
            return
        blob = Descriptor(OCI_LAYER, name, len(data))

        def send(home: str, url: str) -> None:
            self._client.upload(home, blob, lambda: contextlib.nullcontext(self._counted([data])), begun=url)

        self._begin(blob, send)

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer of known digest and size, sent in one request and checked on the way."""
        if digest in self._sending or self.has(digest):
            return
        blob, queue = Descriptor(OCI_LAYER, digest, size), ChunkQueue()

        def send(home: str, url: str) -> None:
            self._client.put_blob(home, blob, self._counted(queue), begun=url)

        self._begin(blob, send, queue.drain)
        queue.pour(chunks)

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        """Take a layer whose digest its bytes will tell; given up at its end if the registry has it already."""
        measured = Measured(chunks)
        with self._noting(None):
            home, url = self._begun(self._repositories)
            upload = self._client.patch(url, self._counted(measured))
            if measured.digest not in self._wanted or self.has(measured.digest):
                self._client.cancel(upload)
            else:
                self._client.finish(upload, measured.digest)
                self._inventory.add(home, measured.digest, size, Fact.UPLOADED)

    def finish(self) -> None:
        """Wait for every upload."""
        wait(self._sending.values())
        for future in self._sending.values():
            future.result()

    def _begin(
        self, blob: Descriptor, send: Callable[[str, str], None], done: Callable[[], None] | None = None
    ) -> None:
        """Upload in another thread, as soon as fewer than AT_ONCE run; `done` is called however it ends."""
        under_way = {future for future in self._sending.values() if not future.done()}
        while len(under_way) >= AT_ONCE:
            under_way = wait(under_way, return_when=FIRST_COMPLETED).not_done

        def run() -> None:
            try:
                with self._noting(blob.digest):
                    self._send(blob, send)
            finally:
                if done:
                    done()

        self._sending[blob.digest] = self._pool.submit(run)

    def _send(self, blob: Descriptor, send: Callable[[str, str], None]) -> None:
        home, url = self._begun(self._wanted.get(blob.digest) or self._repositories)
        try:
            send(home, url)
        except RegistryError as error:
            if not error.transient:
                self.stuck[blob.digest] = home
            raise
        self._inventory.add(home, blob.digest, blob.size, Fact.UPLOADED)

    def _begun(self, repositories: tuple[str, ...]) -> tuple[str, str]:
        """Return the first of `repositories` that accepts an upload, and the upload's URL."""
        for repository in repositories:
            if repository not in self.refused:
                try:
                    return repository, self._client.begin(repository)
                except RegistryError as error:
                    self._refusal(repository, error)
        raise self.refused[repositories[0]]

    def _held(self, repository: str, digest: str) -> bool:
        if repository in self.refused:
            return False
        try:
            return self._inventory.size(repository, digest) is not None
        except RegistryError as error:
            self._refusal(repository, error)
            return False

    def _refusal(self, repository: str, error: RegistryError) -> None:
        """Record that a repository is closed to us; transient errors are raised."""
        if error.transient:
            raise error
        self.refused[repository] = error

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._observer.sent(len(chunk))
            yield chunk

    @contextlib.contextmanager
    def _noting(self, digest: str | None) -> Iterator[None]:
        """Record a failure of one layer, and keep going."""
        try:
            yield
        except (digests.DigestMismatch, RegistryError) as error:
            self.failures[digest] = error
