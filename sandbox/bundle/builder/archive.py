"""Writes an image as one file that `docker load` of every version, containerd and OCI tools take alike.

The file is an OCI image layout (image-spec, image-layout.md) with Docker's manifest.json beside the index.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ARCHITECTURE = "amd64"


def write(
    into: Path, *, layer: Path, diff_id: str, names: Sequence[str], config: Mapping[str, Any], labels: Mapping[str, str]
) -> None:
    """Write the one-layer image to the file `into`; `layer` is an uncompressed tar whose digest is `diff_id`."""
    image = _json(
        {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {**config, "Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created_by": "sandbox bundle build"}],
        }
    )
    config_digest = _digest(image)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config_digest, len(image)),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", diff_id, layer.stat().st_size)],
        }
    )
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                **_descriptor("application/vnd.oci.image.manifest.v1+json", _digest(manifest), len(manifest)),
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            }
            for name in names
        ],
    }
    docker = [{"Config": _path(config_digest), "RepoTags": list(names), "Layers": [_path(diff_id)]}]
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json(index))
        _add(tar, "manifest.json", _json(docker))
        _add(tar, _path(config_digest), image)
        _add(tar, _path(_digest(manifest)), manifest)
        info = tarfile.TarInfo(_path(diff_id))
        info.size = layer.stat().st_size
        with layer.open("rb") as data:
            tar.addfile(info, data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}
