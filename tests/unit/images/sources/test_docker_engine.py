"""What a push takes out of a Docker Engine: no save where none is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.images.images_yaml import FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.oci.reference import parse_target
from tests.support.images import FakeEngine, TestImage, layer
from tests.support.registry_simulator import Simulator

BASE, OWN, NEW, OTHER = layer(1, 30_000), layer(2, 20_000), layer(3, 25_000), layer(4, 15_000)


class Modern(FakeEngine):
    """An engine with the containerd store, which says that its ids are those of documents."""

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        found = super().inspect_image(name)
        return found and {**found, "Descriptor": {"digest": found["Id"]}}


def entry(name: str, image: str | None = None) -> FromDaemon:
    return FromDaemon(parse_target(name), image or name)


def test_second_tag_in_containerd_store_needs_no_save(registry: Simulator) -> None:
    engine = Modern({"app:1": TestImage((BASE, OWN), "app", compressed=True)}, containerd=True)
    push([entry("app:1")], registry.url, engine)
    registry.forget()
    engine.saves.clear()
    (result,) = push([entry("app:2", "app:1")], registry.url, engine)
    assert (result.action, registry.received, engine.saves) == (Action.MOUNTED, 0, [])


def test_compressed_layers_are_searched_where_last_pushed(registry: Simulator) -> None:
    def images(*own: bytes) -> dict[str, TestImage]:
        named = zip(("app:1", "tool:1"), own, strict=True)
        return {
            name: TestImage((BASE, OTHER, one) if name == "tool:1" else (BASE, one), name, True) for name, one in named
        }

    entries = [entry("app:1"), entry("tool:1")]
    push(entries, registry.url, Modern(images(OWN, OWN), containerd=True))
    registry.forget()
    after = images(NEW, NEW)
    push(entries, registry.url, Modern(after, containerd=True))
    assert registry.received == len(after["app:1"].blobs[-1]) + sum(len(image.config) for image in after.values())
