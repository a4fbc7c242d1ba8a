"""Exports images from a registry into an OCI layout folder (OCI image-spec, image-layout.md), each blob once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.image import Tree, walk
from sandbox.oci.manifest import OCI_INDEX, REF_NAME, Descriptor, Document
from sandbox.oci.reference import Target

WIDTH = 4


def write_layout(client: Client, targets: Sequence[Target], folder: Path) -> Mapping[Target, str]:
    """Write the images `targets` to the layout `folder`, under their names; return the digest of each.

    The documents are the registry's own bytes: pushed again, they have the same digests. Raises SandboxError.
    """
    found = {target: _document(client, target.repository, target.tag or str(target.digest)) for target in targets}
    wanted: dict[str, tuple[str, Descriptor]] = {}
    for target, root in found.items():
        tree = _tree(client, target, root)
        for document in tree.documents:
            _path(folder, document.digest).write_bytes(document.data)
        for blob in tree.blobs:
            wanted.setdefault(blob.digest, (target.repository, blob))
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(lambda one: _fetch(client, one[0], one[1], folder), wanted.values()))
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {**root.descriptor.as_json(), "annotations": {REF_NAME: str(target)}} for target, root in found.items()
        ],
    }
    folder.joinpath("index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    folder.joinpath("oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n', encoding="utf-8")
    return {target: root.digest for target, root in found.items()}


def _tree(client: Client, target: Target, root: Document) -> Tree:
    return walk(root, lambda child: _document(client, target.repository, child.digest))


def _document(client: Client, repository: str, name: str) -> Document:
    found = client.manifest(repository, name)
    if found is None:
        raise SandboxError(
            f"{client.url} has no {repository}:{name}", fix="push it first: sandbox push-images", id="no-image"
        )
    return found


def _fetch(client: Client, repository: str, blob: Descriptor, folder: Path) -> None:
    with client.blob(repository, blob.digest) as chunks, _path(folder, blob.digest).open("wb") as out:
        for chunk in digests.verified(chunks, blob.digest, blob.size):
            out.write(chunk)


def _path(folder: Path, digest: str) -> Path:
    path = folder / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
