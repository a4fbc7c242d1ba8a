"""What a push takes out of a Docker Engine: no save where none is needed, and of a save no more than is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from sandbox.images.images_yaml import FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.images.sources import docker_save
from sandbox.oci.reference import parse_target
from tests.support.images import FakeEngine, TestImage, digest_of, layer, tar
from tests.support.registry_simulator import Simulator

BASE, OWN, NEW, OTHER = layer(1, 30_000), layer(2, 20_000), layer(3, 25_000), layer(4, 15_000)


class Modern(FakeEngine):
    """An engine with the containerd store, which says that its ids are those of documents."""

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        found = super().inspect_image(name)
        return found and {**found, "Descriptor": {"digest": found["Id"]}}


class Old(FakeEngine):
    """An engine that calls layers by ids which are made as Docker before 25 makes them."""

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        self.saves.append(tuple(names))
        files: dict[str, bytes] = {}
        for name in names:
            chain, parent = "", ""
            for one in self.images[name].layers:
                diff_id = digest_of(one)
                chain = digest_of(f"{chain} {diff_id}".encode()) if chain else diff_id
                made = {"created": "1970-01-01T00:00:00Z", "layer_id": chain}
                made |= {"parent": f"sha256:{parent}"} if parent else {}
                folder = hashlib.sha256(json.dumps(made, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
                told = {"id": folder, "created": made["created"], "os": "linux"} | (
                    {"parent": parent} if parent else {}
                )
                files[f"{folder}/json"] = json.dumps(told, separators=(",", ":")).encode()
                files[f"{folder}/layer.tar"] = one
                parent = folder
            files[f"{digest_of(self.images[name].config).partition(':')[2]}.json"] = self.images[name].config
        yield tar(dict(sorted(files.items())))


def entry(name: str, image: str | None = None) -> FromDaemon:
    return FromDaemon(parse_target(name), image or name)


@pytest.mark.parametrize("small", [0, 4 << 20])
def test_layers_of_an_old_save_are_known_before_they_flow(
    registry: Simulator, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(docker_save, "SMALL", small or 2000)
    before, after = TestImage((BASE, OWN), "app"), TestImage((BASE, NEW), "app")
    push([entry("app:1")], registry.url, Old({"app:1": before}))
    assert registry.received == len(BASE) + len(OWN) + len(before.config)
    registry.forget()
    (result,) = push([entry("app:1")], registry.url, Old({"app:1": after}))
    assert result.size == registry.received == len(NEW) + len(after.config)
    assert registry.count("PATCH") == 0
    assert not registry.uploads


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


def test_a_save_ends_when_nothing_more_is_missing(registry: Simulator) -> None:
    class Endless(FakeEngine):
        ended = False

        def save(self, names: Sequence[str]) -> Iterator[bytes]:
            try:
                yield b"".join(super().save(names))[:-1024]  # without the end of the tar
                yield tar({"more": b"x" * 5000})
                raise AssertionError("read although nothing was missing")
            finally:
                self.ended = True

    engine = Endless({"app:1": TestImage((BASE, OWN), "app")})
    (result,) = push([entry("app:1")], registry.url, engine)
    assert result.action is Action.UPLOADED
    assert engine.ended
