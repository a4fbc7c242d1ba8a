"""A push whose large layers are held up: the images that need only small ones are there meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from sandbox.images.images_yaml import FromLayout
from sandbox.images.progress import Observer, Result
from sandbox.images.push import SMALL_BODY, push
from sandbox.oci.reference import parse_target
from tests.support.images import TestImage, index, layer, write_layout
from tests.support.registry_simulator import Simulator


class Watch(Observer):
    """Opens the gate once the small image is there."""

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate
        self.order: list[str] = []

    def finished(self, result: Result) -> None:
        self.order.append(result.target)
        if result.target == "small:1":
            self._gate.set()


def test_small_images_do_not_wait_for_large_ones(tmp_path: Path) -> None:
    large = TestImage(tuple(layer(seed, SMALL_BODY + 1) for seed in range(8)), "large")
    small = TestImage((layer(9, 2000),), "small")
    entries = []
    for image in (large, small):
        write_layout(tmp_path / image.label, index(image.descriptor()), image.files)
        entries.append(FromLayout(parse_target(f"{image.label}:1"), tmp_path / image.label))
    gate = threading.Event()
    watch = Watch(gate)
    with Simulator(gate=gate, gated=SMALL_BODY) as registry:
        push(entries, registry.url, observer=watch, limit=3)
    assert watch.order == ["small:1", "large:1"]
