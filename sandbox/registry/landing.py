"""Layers out of a stream that passes only once, into the registry while they go by."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from sandbox.errors import SandboxError
from sandbox.registry import digest as digests
from sandbox.registry.client import Client
from sandbox.registry.errors import RegistryError
from sandbox.registry.holdings import Fact, Holdings
from sandbox.registry.manifest import OCI_LAYER, Descriptor
from sandbox.registry.progress import Observer


class Landing:
    """Receives layers and sends those that are missing to the repository that wants them.

    `wanted` maps the digests that are expected to the repositories that want them. A layer whose digest is not known
    before its last byte goes to `fallback`, from where the others mount it. What fails is noted in `failures`, under
    None when the digest never became known, and the stream goes on: other layers may be fine.
    """

    def __init__(
        self,
        client: Client,
        holdings: Holdings,
        observer: Observer,
        wanted: Mapping[str, tuple[str, ...]],
        fallback: str,
    ) -> None:
        self._client = client
        self._holdings = holdings
        self._observer = observer
        self._wanted = wanted
        self._fallback = fallback
        self.failures: dict[str | None, SandboxError] = {}

    def has(self, digest: str) -> bool:
        """Whether the registry holds the layer in any repository that could give it to the others."""
        if self._holdings.anywhere(digest):
            return True
        repositories = self._wanted.get(digest, (self._fallback,))
        return any(self._holdings.size(repository, digest) is not None for repository in repositories)

    def wants_unknown(self) -> bool:
        """Whether a layer of unknown digest could be one that is missing."""
        return not all(self.has(digest) for digest in self._wanted)

    def buffered(self, data: bytes, digest: str | None) -> None:
        """A layer that is in memory as a whole; one that nobody expects is dropped unless it has a name."""
        name = digest or digests.of(data)
        if self.has(name) or not (digest or name in self._wanted):
            return
        with self._noting(name):
            self._client.upload(
                self._home(name),
                Descriptor(OCI_LAYER, name, len(data)),
                lambda: contextlib.nullcontext(self._counted([data])),
            )
            self._holdings.add(self._home(name), name, len(data), Fact.UPLOADED)

    def named(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """A layer of known digest and size, sent in one request and checked on the way."""
        if self.has(digest):
            return
        with self._noting(digest):
            blob = Descriptor(OCI_LAYER, digest, size)
            self._client.put_blob(self._home(digest), blob, self._counted(chunks))
            self._holdings.add(self._home(digest), digest, size, Fact.UPLOADED)

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
