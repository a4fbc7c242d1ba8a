"""What was pushed is read back byte by byte, and whatever is wrong with it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.images.images_yaml import FromLayout
from sandbox.images.progress import Observer
from sandbox.images.push import push
from sandbox.images.verify import VerifyFailed, verify
from sandbox.oci.client import Client
from sandbox.oci.reference import Target, parse_target
from tests.support.images import FakeEngine, TestImage, digest_of, from_engine, index, layer, write_index
from tests.support.registry_simulator import Simulator

BASE, TOP = layer(1, 30_000), layer(2, 9_000)
APP, TOOL = TestImage((BASE, TOP), "app"), TestImage((BASE,), "tool")
APP_TARGET = parse_target("app:1")


def pushed(registry: Simulator) -> dict[Target, str]:
    engine = FakeEngine({"app": APP, "tool": TOOL})
    results = push([from_engine("app:1", "app"), from_engine("tool:1", "tool")], registry.url, engine)
    return {parse_target(one.target): one.digest for one in results}


def test_verification_downloads_a_blob_that_two_images_share_only_once(registry: Simulator) -> None:
    digests = pushed(registry)
    registry.forget()
    with Client(registry.url) as client:
        assert verify(digests, client, Observer()) == sum(map(len, (BASE, TOP, APP.config, TOOL.config)))
    assert registry.count("GET", f"/blobs/{digest_of(BASE)}") == 1
    assert registry.count("HEAD", f"/blobs/{digest_of(BASE)}") == 1


def move_tag(registry: Simulator) -> None:
    push([from_engine("app:1")], registry.url, FakeEngine({"app:1": TestImage((TOP,))}))


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("harm", "faults"),
    [
        (lambda registry: registry.manifests.pop(("app", "1")), ["app:1: the registry has no such tag"]),
        (move_tag, ["app:1: its tag names sha256:"]),
        (
            lambda registry: registry.content.update({digest_of(APP.config): APP.config[:-1] + b"?"}),
            [f"app:1: {digest_of(APP.config)} (application/vnd.oci.image.config.v1+json)"],
        ),
        (
            lambda registry: registry.content.update({digest_of(TOP): TOP[:-1]}),
            [f"app:1: {digest_of(TOP)} (application/vnd.oci.image.layer.v1.tar)"],
        ),
        (
            lambda registry: registry.links.remove(("tool", digest_of(BASE))),
            [f"tool:1: {digest_of(BASE)} (application/vnd.oci.image.layer.v1.tar) is not there"],
        ),
        (
            lambda registry: registry.links.difference_update({(name, digest_of(BASE)) for name in ("app", "tool")}),
            [f"app:1: {digest_of(BASE)}", f"tool:1: {digest_of(BASE)}"],
        ),
    ],
)
def test_verify_names_every_fault(registry: Simulator, harm: Callable[[Simulator], object], faults: list[str]) -> None:
    """A tag, a link or a blob is lost, a layer cut short → `push-images --verify` names each."""
    digests = pushed(registry)
    harm(registry)
    with Client(registry.url) as client, pytest.raises(VerifyFailed) as caught:
        verify(digests, client, Observer())
    lines = caught.value.details.splitlines()
    assert all(line.startswith(fault) for line, fault in zip(lines, faults, strict=True))


def test_a_platform_that_is_gone_is_named(registry: Simulator, tmp_path: Path) -> None:
    write_index(tmp_path, index(APP.on("linux/amd64"), TOOL.descriptor()), APP, TOOL)
    (result,) = push([FromLayout(APP_TARGET, tmp_path)], registry.url)
    with Client(registry.url) as client:
        verify({APP_TARGET: result.digest}, client, Observer())
        del registry.manifests["app", digest_of(APP.manifest)]
        with pytest.raises(VerifyFailed, match=f"{digest_of(APP.manifest)} .linux/amd64. is not there"):
            verify({APP_TARGET: result.digest}, client, Observer())
