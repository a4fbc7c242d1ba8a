"""A push with its lock: the first one by a container says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.engine import Engine
from sandbox.images.image_push import READS, ImagePush, Local
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.lockfile import LockFile
from sandbox.oci.reference import parse_target
from tests.support.container_process import ProcessEngine
from tests.support.engine_folder import ReadableEngine
from tests.support.images import TestImage, layer
from tests.support.registry_simulator import Simulator


class Machine(ReadableEngine):
    """An engine with images and containers."""

    processes = ProcessEngine()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processes, name)


def said(push: ImagePush) -> list[str]:
    lines: list[str] = []
    push.run(lines.append)
    return [line for line in lines if "container" in line]


@pytest.mark.parametrize("reading", [True, False])
def test_first_push_by_a_container_says_how_to_turn_it_off(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: bool
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    images = {"app:1": TestImage((layer(1),), "app"), "tool:1": TestImage((layer(2),), "tool")}
    engine = Machine(images, folder=tmp_path / "docker")
    local = Local(connect=lambda: cast("Engine", engine), spool=tmp_path / "spool")
    lines = []
    for name in images:
        file = LockFile(tmp_path / "images.yaml", (FromDaemon(parse_target(name), name),), reading=reading)
        lines.append(said(ImagePush.of(file, registry.url, None, local)))
    assert lines == [[READS] if reading else [], []]
    assert len(engine.saves) == (0 if reading else 2)
    assert "daemon: save" in READS
