"""One blob into every repository that needs it, the cheapest way: there already, mounted, sent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sandbox.errors import SandboxError
from sandbox.images.blob_inventory import Fact
from sandbox.images.progress import Observer
from sandbox.images.push_context import Destination
from sandbox.images.push_plan import Transfer
from sandbox.oci.client import OpenBlob
from sandbox.oci.oci_errors import RegistryError


def carry(transfer: Transfer, destination: Destination) -> dict[str, SandboxError]:
    """Do it; the answer names the repositories that did not get the blob, each with the reason."""
    digest, repositories, holdings = transfer.blob.digest, transfer.repositories, destination.holdings
    failures: dict[str, SandboxError] = {}
    try:
        lacking = [name for name in repositories if holdings.size(name, digest) is None]
        while lacking and holdings.anywhere(digest) is None:
            try:
                _send(transfer, lacking[0], destination)
            except RegistryError as error:
                if error.transient:
                    raise
                failures[lacking[0]] = error  # this repository is closed to us; others may not be
            del lacking[0]
    except SandboxError as error:
        return dict.fromkeys(repositories, error)
    for repository in lacking:
        try:
            _mount(transfer, repository, destination)
        except SandboxError as error:
            failures[repository] = error
    return failures


def _send(transfer: Transfer, repository: str, destination: Destination) -> None:
    """Send the blob from the first origin that can give it whole."""
    problem: SandboxError | None = None
    for origin in transfer.origins:
        try:
            blob = _observed(lambda: origin.open(transfer.blob), destination.observer)  # noqa: B023
            destination.client.upload(repository, transfer.blob, blob)
        except SandboxError as error:
            problem = problem or error
        else:
            destination.holdings.add(repository, transfer.blob.digest, transfer.blob.size, Fact.UPLOADED)
            return
    raise problem or SandboxError(f"nothing can give {transfer.blob.digest}")


def _mount(transfer: Transfer, repository: str, destination: Destination) -> None:
    """Mount the blob from a repository that has it; where the registry will not, copy it through this machine."""
    digest, client, holdings = transfer.blob.digest, destination.client, destination.holdings
    place = holdings.anywhere(digest)
    if place is None:
        raise SandboxError(f"{digest} is in no repository of the registry")
    source = place[0]
    try:
        begun = client.mount(repository, digest, source)
        if begun is None:
            holdings.add(repository, digest, transfer.blob.size, Fact.MOUNTED)
            return
    except RegistryError as error:
        if error.transient:
            raise
        begun = None
    copy = _observed(lambda: client.blob(source, digest, size=transfer.blob.size), destination.observer)
    client.upload(repository, transfer.blob, copy, begun=begun)
    holdings.add(repository, digest, transfer.blob.size, Fact.UPLOADED)


def _observed(open_blob: OpenBlob, observer: Observer) -> OpenBlob:
    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        with open_blob() as chunks:
            yield _counted(chunks, observer)

    return opened


def _counted(chunks: Iterator[bytes], observer: Observer) -> Iterator[bytes]:
    for chunk in chunks:
        observer.sent(len(chunk))
        yield chunk
