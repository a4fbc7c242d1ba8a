"""Tags that no manifest of images names, found and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.images.target import Target
from sandbox.oci.client import Client
from sandbox.oci.manifest import Index, parse
from sandbox.oci.oci_errors import RegistryError


@dataclass(frozen=True)
class Unlisted:
    """A tag no one names. `digest` is None when what it names is gone already."""

    repository: str
    tag: str
    digest: str | None

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def unlisted(client: Client, targets: Iterable[Target]) -> tuple[Unlisted, ...]:
    """Return the registry's tags that are not among `targets`, sorted. Raises RegistryError."""
    named = {(target.repository, target.tag) for target in targets}
    return tuple(
        Unlisted(repository, tag, client.manifest_digest(repository, tag))
        for repository in sorted(client.catalog())
        for tag in sorted(client.tags(repository))
        if (repository, tag) not in named
    )


def prune(client: Client, chosen: Sequence[Unlisted], targets: Iterable[Target]) -> None:
    """Delete the tags `chosen`, and the manifests that nothing else names.

    A manifest that one of `targets`, or a tag that is not chosen, names or contains stays, and only the tag goes; what
    is deleted by its digest, the registry's garbage collection can reclaim. Raises RegistryError.
    """
    wanted = tuple(targets)
    for repository in dict.fromkeys(one.repository for one in chosen):
        here = [one for one in chosen if one.repository == repository]
        gone = {one.tag for one in here}
        staying = [tag for tag in client.tags(repository) if tag not in gone]
        staying += [str(one.digest) for one in wanted if one.repository == repository and one.tag is None]
        kept = _below(client, repository, staying)
        for one in here:
            if one.digest is None or one.digest in kept:
                _untag(client, one)
        lost = _below(client, repository, [one.digest for one in here if one.digest and one.digest not in kept])
        for digest in reversed([digest for digest in lost if digest not in kept]):
            _delete(client, repository, digest)


def _below(client: Client, repository: str, names: Iterable[str]) -> dict[str, None]:
    """Return the digests of the manifests that `names` name or contain, children first."""
    found: dict[str, None] = {}
    for name in names:
        document = client.manifest(repository, name)
        if document is None or document.digest in found:
            continue
        content = parse(document)
        if isinstance(content, Index):
            found |= _below(client, repository, [child.digest for child in content.manifests])
        found[document.digest] = None
    return found


def _untag(client: Client, one: Unlisted) -> None:
    try:
        _delete(client, one.repository, one.tag)
    except RegistryError as error:
        if error.status != 400:
            raise
        raise SandboxError(
            f"this registry cannot delete the tag {one} alone",
            details=f"other tags, which stay, name the same image {one.digest}",
            fix="use distribution 3 or newer, or list the tag in the manifest",
        ) from error


def _delete(client: Client, repository: str, reference: str) -> None:
    try:
        client.delete_manifest(repository, reference)
    except RegistryError as error:
        if error.status != 405:
            raise
        raise SandboxError(
            "the registry does not allow deletion",
            details=str(error),
            fix="start it with REGISTRY_STORAGE_DELETE_ENABLED=true",
        ) from error
