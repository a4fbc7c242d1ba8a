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


def test_canary_is_complete_for_a_registry_that_validates() -> None:
    with Simulator() as registry, Client(registry.url) as client:
        name = canary_image.place(client)
        repository, _, digest = name.partition("@")
        document = client.manifest(repository, digest)
        assert document == canary_image.document()
        image = parse(document)
        assert isinstance(image, Manifest)
        config, (layer,) = registry.content[image.config.digest], image.layers
        assert diff_ids(config) == (layer.digest,)
        said = json.loads(config)
        assert f"{said['os']}/{said['architecture']}" == host_platform()
        with tarfile.open(fileobj=io.BytesIO(registry.content[layer.digest])) as tar:
            assert tar.getnames() == ["canary"]


def test_canary_without_a_tag_is_pushed_again_only_when_it_is_gone() -> None:
    with Simulator() as registry, Client(registry.url) as client:
        name = canary_image.place(client)
        assert canary_image.place(client) == name
        assert client.tags(canary_image.REPOSITORY) == ()
        assert registry.count("POST") == 2
        client.delete_manifest(canary_image.REPOSITORY, name.partition("@")[2])
        assert canary_image.place(client) == name == canary_image.find(client)
