"""What is known of the engine's images while they are pushed, and how much it may be to send."""

from __future__ import annotations

from pathlib import Path

from sandbox.images.image_lookup import Remembering, weight
from sandbox.images.progress import Observer
from tests.support.images import FakeEngine, TestImage, layer


def test_image_is_described_again_once_it_was_built_or_named(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    engine = FakeEngine({"base": TestImage((layer(1),))})
    known = Remembering(engine, Observer())
    assert known.inspect_image("app") is None
    known.build(tmp_path, "app")
    assert known.inspect_image("app") is not None
    assert known.inspect_image("other") is None
    engine.images = {**engine.images, "other": engine.images["base"]}
    assert known.inspect_image("other") is None, "what is known is not asked again"
    known.tag("base", "other")
    assert known.inspect_image("other") == engine.inspect_image("base")


def test_layers_of_several_images_weigh_once() -> None:
    def image(size: int | None, *layers: str) -> dict[str, object]:
        return {"Size": size, "RootFS": {"Type": "layers", "Layers": list(layers)}}

    assert weight([image(10, "a"), image(30, "a", "b"), image(5, "c"), image(None, "d"), {}]) == 35
