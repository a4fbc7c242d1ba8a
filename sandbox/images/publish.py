"""An image's documents, once its blobs are in place: children first, then the tag, then a look whether it is true."""

from __future__ import annotations

from sandbox.images.push_context import Destination
from sandbox.images.target import Target
from sandbox.oci.image import Image, MissingBlob
from sandbox.oci.oci_errors import RegistryError


def publish(target: Target, image: Image, destination: Destination) -> bool:
    """Make `target` name `image`; False when it did already. Raises MissingBlob, RegistryError.

    Nothing is published, and nothing is called done, before the registry has confirmed every blob in this repository.
    """
    client, holdings = destination.client, destination.holdings
    for blob in image.blobs:
        if holdings.fact(target.repository, blob.digest) is None:
            raise MissingBlob(f"{target} is not complete in the registry", details=f"missing: {blob.digest}")
    root = image.root
    name = target.tag or root.digest
    if holdings.named(target.repository, name) == root.digest:
        return False
    for document in image.documents[:-1]:
        client.put_manifest(target.repository, document.digest, document)
    client.put_manifest(target.repository, name, root)
    found = client.manifest_digest(target.repository, name)
    if found != root.digest:
        raise RegistryError(
            f"{target} does not name what was pushed",
            details=f"pushed {root.digest}, the registry says {found}",
            fix="see who else writes this tag, then push again",
        )
    return True
