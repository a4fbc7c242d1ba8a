"""What a registry refuses of one image of the engine is that image's failure, and not the others'."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sandbox.images.images_yaml import FromDaemon
from sandbox.images.progress import Result
from sandbox.images.push import PushFailed, push
from sandbox.oci.reference import parse_target
from tests.support.images import FakeEngine, TestImage, digest_of, layer
from tests.support.registry_simulator import Fault, Simulator

BASE = layer(1, 30_000)
APP = TestImage((BASE, layer(2, 20_000)), "app")
TOOL = TestImage((BASE, layer(3, 10_000)), "tool")
WEB = TestImage((BASE, layer(4, 10_000)), "web")
ENTRIES = [FromDaemon(parse_target(name), name) for name in ("app:dev", "tool:dev", "web:dev")]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine({"app:dev": APP, "tool:dev": TOOL, "web:dev": WEB})


def partly(registry: Simulator, engine: FakeEngine) -> Sequence[Result]:
    """What gets through of a push in which `app:dev` alone fails, as an error of HTTP status 403."""
    with pytest.raises(PushFailed) as caught:
        push(ENTRIES, registry.url, engine)
    assert [str(target) for target in caught.value.failures] == ["app:dev"]
    assert "HTTP status 403" in caught.value.details
    assert ("app", "dev") not in registry.manifests
    return caught.value.results


def layers(registry: Simulator, repository: str) -> list[bytes]:
    return [registry.content[each["digest"]] for each in registry.manifest(repository, "dev")["layers"]]


@pytest.mark.parametrize(("method", "path"), [("POST", "/app/"), ("HEAD", "/app/blobs/"), ("PUT", "/app/manifests/")])
def test_a_closed_repository_fails_alone_and_costs_no_other_save(
    registry: Simulator, engine: FakeEngine, method: str, path: str
) -> None:
    registry.faults.append(Fault(method, f"/v2{path}", 403, times=1000))
    partly(registry, engine)
    assert len(engine.saves) == 1
    assert layers(registry, "tool") == list(TOOL.layers)
    assert layers(registry, "web") == list(WEB.layers)


def test_layer_refused_by_one_repository_goes_to_the_next(registry: Simulator, engine: FakeEngine) -> None:
    registry.faults.append(Fault("PUT", f"/v2/app/blobs/uploads/.*{digest_of(BASE)[7:]}", 403, times=1000))
    partly(registry, engine)
    assert len(engine.saves) == 1
    assert layers(registry, "tool") == list(TOOL.layers)


def test_where_all_is_refused_nothing_is_saved_again(registry: Simulator, engine: FakeEngine) -> None:
    registry.faults.append(Fault("POST", "/v2/", 403, times=1000))
    with pytest.raises(PushFailed) as caught:
        push(ENTRIES, registry.url, engine)
    assert len(caught.value.failures) == 3
    assert len(engine.saves) == 1
