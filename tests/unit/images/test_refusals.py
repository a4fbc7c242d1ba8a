"""What a registry refuses of one image of the engine is that image's failure, and not the others'."""

from __future__ import annotations

import pytest

from sandbox.images.images_yaml import FromDaemon
from sandbox.images.push import PushFailed, push
from sandbox.oci.reference import parse_target
from tests.support.images import FakeEngine, TestImage, digest_of, layer
from tests.support.registry_simulator import Fault, Simulator

BASE = layer(1, 30_000)
APP = TestImage((BASE, layer(2, 20_000)), "app")
TOOL = TestImage((BASE, layer(3, 10_000)), "tool")
WEB = TestImage((BASE, layer(4, 10_000)), "web")
ENTRIES = [FromDaemon(parse_target(name), name) for name in ("app:dev", "tool:dev", "web:dev")]


@pytest.mark.parametrize(
    ("method", "path", "failing"),
    [
        ("POST", "/app/", 1),
        ("HEAD", "/app/blobs/", 1),
        ("PUT", "/app/manifests/", 1),
        ("PUT", f"/app/blobs/uploads/.*{digest_of(BASE)[7:]}", 1),
        ("POST", "/", 3),
    ],
)
def test_refused_images_fail_alone_after_one_save(registry: Simulator, method: str, path: str, failing: int) -> None:
    engine = FakeEngine({"app:dev": APP, "tool:dev": TOOL, "web:dev": WEB})
    registry.faults.append(Fault(method, f"/v2{path}", 403, times=1000))
    with pytest.raises(PushFailed) as caught:
        push(ENTRIES, registry.url, engine)
    assert [str(target) for target in caught.value.failures] == ["app:dev", "tool:dev", "web:dev"][:failing]
    assert "HTTP status 403" in caught.value.details
    assert len(engine.saves) == 1
    assert ("app", "dev") not in registry.manifests
    for repository, image in {"tool": TOOL, "web": WEB}.items() if failing == 1 else ():
        layers = registry.manifest(repository, "dev")["layers"]
        assert [registry.content[layer["digest"]] for layer in layers] == list(image.layers)
