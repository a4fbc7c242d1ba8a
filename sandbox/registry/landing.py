"""Layers out of a stream that passes only once, into the registry while they go by and while the stream goes on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from types import MappingProxyType

from sandbox.errors import SandboxError
from sandbox.registry import digest as digests
from sandbox.registry.client import Client
from sandbox.registry.errors import RegistryError
from sandbox.registry.holdings import Fact, Holdings
from sandbox.registry.manifest import OCI_LAYER, Descriptor
from sandbox.registry.progress import Observer
from sandbox.registry.relay import Relay

AT_ONCE = 3


class Landing:
    """Receives layers and sends those that are missing to the repository that wants them.

    `wanted` maps the digests that are expected to the repositories that want them, `seen` others to a repository that
    may hold them. A layer whose digest is not known before its last byte goes to `fallback`, from where the others
    mount it. What fails is noted in `failures`, under None when the digest never became known, and the stream goes on:
    other layers may be fine. At most AT_ONCE layers are on their way in threads of `pool`, so that a registry's work
    at the end of one overlaps with the next.
    """

    def __init__(
        self,
        client: Client,
        holdings: Holdings,
        observer: Observer,
        pool: Executor,
        wanted: Mapping[str, tuple[str, ...]],
        fallback: str,
        seen: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._client = client
        self._holdings = holdings
        self._observer = observer
        self._pool = pool
        self._wanted = wanted
        self._fallback = fallback
        self._seen = seen
        self._sending: dict[str, Future[None]] = {}
        self.failures: dict[str | None, SandboxError] = {}

    def has(self, digest: str) -> bool:
        """Whether the registry holds the layer in any repository that could give it to the others."""
        if self._holdings.anywhere(digest):
            return True
        repositories = self._wanted.get(digest) or (self._seen.get(digest, self._fallback),)
        return any(self._holdings.size(repository, digest) is not None for repository in repositories)

    def wants_unknown(self) -> bool:
        """Whether a layer of unknown digest could be one that is missing."""
        return not all(digest in self._sending or self.has(digest) for digest in self._wanted)

    def buffered(self, data: bytes, digest: str | None) -> None:
        """A layer that is in memory as a whole; one that nobody expects is dropped unless it has a name."""
        name = digest or digests.of(data)
        if name in self._sending or self.has(name) or not (digest or name in self._wanted):
            return
        blob = Descriptor(OCI_LAYER, name, len(data))

        def send() -> None:
            self._client.upload(self._home(name), blob, lambda: contextlib.nullcontext(self._counted([data])))

        self._begin(blob, send)

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """A layer of known digest and size, sent in one request and checked on the way."""
        if digest in self._sending or self.has(digest):
            return
        blob, relay = Descriptor(OCI_LAYER, digest, size), Relay()

        def send() -> None:
            try:
                self._client.put_blob(self._home(digest), blob, self._counted(relay))
            finally:
                relay.drain()

        self._begin(blob, send)
        relay.pour(chunks)

    def unnamed(self, size: int, chunks: Iterable[bytes]) -> None:
        """A layer whose digest its bytes will tell; given up at its end when the registry has it already."""
        measure = hashlib.sha256()

        def measured() -> Iterator[bytes]:
            for chunk in chunks:
                measure.update(chunk)
                yield chunk

        with self._noting(None):
            upload = self._client.patch(self._client.begin(self._fallback), self._counted(measured()))
            digest = f"sha256:{measure.hexdigest()}"
            if digest not in self._wanted or self.has(digest):
                self._client.cancel(upload)
            else:
                self._client.finish(upload, digest)
                self._holdings.add(self._fallback, digest, size, Fact.UPLOADED)

    def settle(self) -> None:
        """Wait for every upload. Raises RegistryError for a refusal that met one and would meet every other."""
        wait(self._sending.values())
        for future in self._sending.values():
            future.result()

    def _begin(self, blob: Descriptor, send: Callable[[], None]) -> None:
        """Upload in another thread, as soon as fewer than AT_ONCE uploads are under way."""
        under_way = {future for future in self._sending.values() if not future.done()}
        while len(under_way) >= AT_ONCE:
            under_way = wait(under_way, return_when=FIRST_COMPLETED).not_done

        def run() -> None:
            with self._noting(blob.digest):
                send()
                self._holdings.add(self._home(blob.digest), blob.digest, blob.size, Fact.UPLOADED)

        self._sending[blob.digest] = self._pool.submit(run)

    def _home(self, digest: str) -> str:
        return self._wanted.get(digest, (self._fallback,))[0]

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._observer.sent(len(chunk))
            yield chunk

    @contextlib.contextmanager
    def _noting(self, digest: str | None) -> Iterator[None]:
        """Keep going after a failure of one layer; a refusal that will meet every layer ends the stream."""
        try:
            yield
        except digests.DigestMismatch as error:
            self.failures[digest] = error
        except RegistryError as error:
            if not error.transient:
                raise
            self.failures[digest] = error
