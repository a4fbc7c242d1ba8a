"""Exports images from a registry into an OCI layout folder (OCI image-spec, image-layout.md), each blob once."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci.client import Client, InRegistry
from sandbox.oci.image import walk
from sandbox.oci.manifest import OCI_INDEX, REF_NAME, Descriptor, Document
from sandbox.oci.reference import Target


def write_layout(client: Client, targets: Sequence[Target], folder: Path) -> Mapping[Target, str]:
    """Write the images `targets` to the layout `folder`, under their names; return the digest of each."""

    def document(repository: str, name: str) -> Document:
        document = client.manifest(repository, name)
        if document is None:
            brief = f"{client.url} has no {repository}:{name}"
            raise SandboxError(brief, fix="push it first: sandbox push-images", id="no-image")
        return document

    def child(repository: str, descriptor: Descriptor) -> Document:
        return document(repository, descriptor.digest)

    def path(digest: str) -> Path:
        path = folder / "blobs" / digest.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    roots = {target: document(target.repository, target.tag or str(target.digest)) for target in targets}
    sources: dict[Descriptor, str] = {}
    for target, root in roots.items():
        image = walk(root, partial(child, target.repository), InRegistry(client, target.repository))
        for written in image.documents:
            path(written.digest).write_bytes(written.data)
        for blob in image.blobs:
            sources.setdefault(blob, target.repository)
    for blob, repository in sources.items():
        with client.blob(repository, blob.digest) as chunks, path(blob.digest).open("wb") as file:
            for chunk in digests.verified(chunks, blob.digest, blob.size):
                file.write(chunk)
    manifests = [
        {**root.descriptor.as_json(), "annotations": {REF_NAME: str(target)}} for target, root in roots.items()
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    folder.joinpath("index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    folder.joinpath("oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n', encoding="utf-8")
    return {target: root.digest for target, root in roots.items()}
