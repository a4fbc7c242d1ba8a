"""Names of images in manifests: which ones images.yaml means, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.components.workloads.image_names import ImageNames, bring_advice
from sandbox.errors import UsageError
from tests.support.images import TestImage, layer
from tests.support.registry_simulator import Simulator

IMAGES = """\
images:
- {from: build, context: src/frontend, as: shop/frontend:dev}
- {from: build, context: src/redis, as: shop/redis:dev}
- {from: build, context: worker, as: worker:dev, for: [acme/jobs, 'ghcr.io/acme/late:v2']}
- {from: build, context: alone, as: alone:dev, for: []}
- nginx:1.27
- {image: 'gcr.io/team/api:1', as: 'api:1'}
- {from: daemon, image: 'tool:dev'}
fields: {Rollout: [spec.template.spec.containers.image], Database: [spec.image, spec.extra]}
"""


def names(folder: Path, text: str = IMAGES, url: str = "http://127.0.0.1:5001") -> ImageNames:
    (folder / "images.yaml").write_text(text)
    hosts = ("127.0.0.1:5001", "sandbox-demo-registry:5000", "sandbox-demo-registry:5001")
    return ImageNames(prefix="localhost:5001", url=url, hosts=hosts).with_images(folder / "images.yaml")


def deployment(*images: str, policy: str | None = None) -> dict[str, Any]:
    extra = {"imagePullPolicy": policy} if policy else {}
    containers = [{"name": f"c{number}", "image": image, **extra} for number, image in enumerate(images)]
    spec = {"template": {"spec": {"containers": containers}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("frontend", "shop/frontend:dev"),
        ("gcr.io/google-samples/frontend:v1", "shop/frontend:dev"),
        ("localhost:5001/shop/frontend:dev", "shop/frontend:dev"),
        ("localhost:5001/shop/frontend", "shop/frontend:dev"),
        ("sandbox-demo-registry:5001/shop/frontend:dev", "shop/frontend:dev"),
        ("localhost:5001/shop/frontend:other", None),
        ("frontend@sha256:" + "a" * 64, None),
        ("redis", "shop/redis:dev"),
        ("acme/jobs:17", "worker:dev"),
        ("ghcr.io/acme/late:v2", "worker:dev"),
        ("ghcr.io/acme/worker:1", None),
        ("ghcr.io/acme/alone:1", None),
        ("nginx:1.27", "nginx:1.27"),
        ("docker.io/library/nginx:1.27", "nginx:1.27"),
        ("nginx:1.25", None),
        ("gcr.io/team/api:1", "api:1"),
        ("tool:dev", "tool:dev"),
        ("Not An Image", None),
    ],
)
def test_a_name_means_the_image_of_that_name(tmp_path: Path, written: str, meant: str | None) -> None:
    image = names(tmp_path).find(written)
    assert (image and str(image.target)) == meant


def test_a_name_that_may_be_two_images_is_refused(tmp_path: Path) -> None:
    text = "images:\n- {from: build, context: a, as: a/web:dev}\n- {from: build, context: b, as: b/web:dev}\n"
    with pytest.raises(UsageError, match="may be a/web:dev or b/web:dev") as caught:
        names(tmp_path, text).connected([deployment("web:1")])
    assert caught.value.fix == "write `for: [web:1]` at the image that is meant"


@pytest.fixture
def pushed(tmp_path: Path, registry: Simulator) -> ImageNames:
    """An image in the registry as shop/web:dev, which manifests may call ghcr.io/acme/web too."""
    registry.publish(TestImage((layer(1),)), "shop/web", "dev")
    text = "images: [{from: build, context: web, as: 'shop/web:dev'}]\nfields: {Rollout: [spec.items.image, spec.all]}"
    return names(tmp_path, text, registry.url)


def test_image_is_written_with_its_present_digest(pushed: ImageNames, registry: Simulator) -> None:
    wanted = [deployment("ghcr.io/acme/web:v1", "envoy:1", policy="Never"), deployment("envoy:1")]
    first, other = pushed.written(wanted)
    web, envoy = first["spec"]["template"]["spec"]["containers"]
    assert web["image"].startswith("localhost:5001/shop/web:dev@sha256:")
    assert (web["imagePullPolicy"], envoy["imagePullPolicy"], envoy["image"]) == ("IfNotPresent", "Never", "envoy:1")
    assert other == wanted[1] and wanted[0]["spec"]["template"]["spec"]["containers"][0]["image"].endswith("v1")
    assert pushed.written(wanted) == (first, other)
    digest = registry.publish(TestImage((layer(2),)), "shop/web", "dev")
    changed = pushed.written(wanted)[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert changed == f"localhost:5001/shop/web:dev@{digest}" != web["image"]


def test_every_place_of_an_image_is_found(pushed: ImageNames) -> None:
    pod = {"initContainers": [{"image": "web"}], "ephemeralContainers": [{"image": "web"}], "containers": []}
    job = {"spec": {"template": {"spec": pod}}}
    cron = {"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": job}}
    own = {"kind": "Rollout", "metadata": {"name": "r"}, "spec": {"items": [{"image": "web"}], "all": ["web", "x"]}}
    text = str(pushed.written([cron, own]))
    assert text.count("localhost:5001/shop/web:dev@sha256:") == 4 and "'x'" in text


def test_odd_shapes_are_left_to_the_cluster(pushed: ImageNames) -> None:
    odd = [
        {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": 5}}}},
        {"kind": "Deployment", "metadata": {"name": "d"}, "spec": []},
        {"kind": "Rollout", "metadata": {"name": "d"}, "spec": {"items": "x", "all": {"a": 1}}},
        {"kind": "Pod", "metadata": {"name": "d"}, "spec": {"containers": ["x", {"image": 5}]}},
    ]
    assert list(pushed.written(odd)) == odd


@pytest.mark.parametrize("image", ["shop:dev", f"a.example/b@sha256:{'1' * 64}", ""])
def test_image_that_cannot_be_pulled_has_a_fix(image: str) -> None:
    message = f'ErrImagePull: failed to pull and unpack image "{image}": not found' if image else "CrashLoopBackOff"
    fix = bring_advice(f"pod web-1, container web: {message}", Path("images.yaml"))
    assert bool(fix) == bool(image)
    assert not image or f"add to images.yaml: - {{from: build, context: FOLDER, as: NAME:dev, for: ['{image}']}}" in fix
