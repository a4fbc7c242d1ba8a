"""What the target registry holds, as far as this run has seen it; every entry is an answer of the registry itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from enum import Enum

from sandbox.oci.client import Client
from sandbox.oci.manifest import Descriptor, Document


class Fact(Enum):
    """How a blob's presence in a repository became known."""

    FOUND = "found"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class Holdings:
    """The blobs of one registry, per repository, because a registry links blobs to repositories one by one.

    A tag that names a manifest vouches for its blobs, because registries take no manifest with blobs missing. Of blobs
    that are vouched for in several repositories only one is asked for, which tells whether the bytes are still stored;
    with `thorough` each is asked for in each repository. Safe for use by several threads.
    """

    def __init__(self, client: Client, *, thorough: bool = False) -> None:
        self._client = client
        self._thorough = thorough
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, str], int] = {}
        self._absent: set[tuple[str, str]] = set()
        self._vouched: set[tuple[str, str]] = set()
        self._tags: dict[tuple[str, str], str | None] = {}
        self._homes: dict[str, tuple[str, int]] = {}
        self._facts: dict[tuple[str, str], Fact] = {}
        self._uploaded: dict[str, int] = {}

    def size(self, repository: str, digest: str) -> int | None:
        """Return the size of a blob that is in `repository`, else None; asks the registry once."""
        key = (repository, digest)
        known = self._sizes.get(key)
        if known is None and key in self._vouched and digest in self._homes:
            known = self._homes[digest][1]
            self.add(repository, digest, known, Fact.FOUND)
        if known is None and key not in self._absent:
            known = self._client.blob_size(repository, digest)
            if known is None:
                self._absent.add(key)
            else:
                self.add(repository, digest, known, Fact.FOUND)
        return known

    def confirm(self, repository: str, digest: str) -> bool:
        """Ask for a blob that another user has sent; note it as uploaded when the registry has it now."""
        size = self._client.blob_size(repository, digest)
        if size is None:
            return False
        self.add(repository, digest, size, Fact.UPLOADED)
        return True

    def named(self, repository: str, name: str) -> str | None:
        """Return the digest of what a tag or digest names, None when there is nothing; asks the registry once."""
        key = (repository, name)
        if key not in self._tags:
            self._tags[key] = self._client.manifest_digest(repository, name)
        return self._tags[key]

    def vouch(self, repository: str, name: str, root: Document, blobs: Iterable[Descriptor]) -> None:
        """Note that a tag or digest names `root`, and therefore, by the registry's word, all of `blobs`."""
        self._tags[repository, name] = root.digest
        if not self._thorough:
            with self._lock:
                self._vouched.update((repository, blob.digest) for blob in blobs)

    def anywhere(self, digest: str) -> tuple[str, int] | None:
        """Return a repository known to hold the blob, and the blob's size, without asking."""
        with self._lock:
            return self._homes.get(digest)

    def add(self, repository: str, digest: str, size: int, fact: Fact) -> None:
        """Note that the registry has confirmed the blob in `repository`."""
        with self._lock:
            self._sizes[repository, digest] = size
            self._homes.setdefault(digest, (repository, size))
            self._facts.setdefault((repository, digest), fact)
            if fact is Fact.UPLOADED:
                self._uploaded[digest] = self._uploaded.get(digest, 0) + size

    def fact(self, repository: str, digest: str) -> Fact | None:
        """Return how the blob got into `repository`, else None when it is not known to be there."""
        return self._facts.get((repository, digest))

    def uploaded(self, digest: str) -> int:
        """Return the bytes that were sent for this blob in this run, to any repository."""
        return self._uploaded.get(digest, 0)
