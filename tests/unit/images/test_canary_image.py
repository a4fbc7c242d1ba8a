"""The canary: an image that is always the same, pushed only where it is not."""

from __future__ import annotations

import io
import json
import tarfile

from sandbox.images import canary_image
from sandbox.oci.client import Client
from sandbox.oci.image import host_platform
from sandbox.oci.manifest import Manifest, diff_ids, parse
from tests.support.registry_simulator import Simulator


def test_canary_is_complete_and_pushed_again_only_when_it_is_gone() -> None:
    with Simulator() as registry, Client(registry.url) as client:
        name = canary_image.place(client)
        repository, _, digest = name.partition("@")
        document = client.manifest(repository, digest)
        assert document == canary_image.document()
        image = parse(document)
        assert isinstance(image, Manifest)
        config, (layer,) = registry.content[image.config.digest], image.layers
        assert diff_ids(config) == (layer.digest,)
        content = json.loads(config)
        assert f"{content['os']}/{content['architecture']}" == host_platform()
        with tarfile.open(fileobj=io.BytesIO(registry.content[layer.digest])) as tar:
            assert tar.getnames() == ["canary"]
        assert canary_image.place(client) == name
        assert (client.tags(repository), registry.count("POST")) == ((), 2)
        client.delete_manifest(repository, digest)
        assert canary_image.place(client) == name
        assert client.manifest(repository, digest) == document
