"""Every image that a manifest's pods will run is found, with whether its registry is asked."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.kube.pod_images import PodImage, pod_images

POD = {"initContainers": [{"name": "i", "image": "init:1"}], "containers": [{"name": "c", "image": "main:1"}]}
BOTH = [PodImage("init:1", False), PodImage("main:1", False)]


@pytest.mark.parametrize(
    ("manifest", "images"),
    [
        ({"kind": "Deployment", "spec": {"template": {"spec": POD}}}, BOTH),
        ({"kind": "Job", "spec": {"template": {"spec": POD}}}, BOTH),
        ({"kind": "Pod", "spec": POD}, BOTH),
        ({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": POD}}}}}, BOTH),
        ({"kind": "ConfigMap", "spec": POD}, []),
        ({"kind": "Pod"}, []),
        ({"kind": "Pod", "spec": "x"}, []),
        ({"kind": "Pod", "spec": {"containers": "x"}}, []),
        ({"kind": "Pod", "spec": {"containers": ["x", {"name": "c"}]}}, []),
        ({"kind": "Deployment", "spec": {"template": "x"}}, []),
    ],
)
def test_pods_and_their_templates_have_images(manifest: dict[str, Any], images: list[PodImage]) -> None:
    assert list(pod_images(manifest)) == images


@pytest.mark.parametrize(
    ("image", "policy", "always"),
    [
        ("a/b:1", None, False),
        ("a:5000/b", None, True),
        ("a/b:latest", None, True),
        ("a/b@sha256:0", None, False),
        ("a/b:1", "Always", True),
        ("a/b", "IfNotPresent", False),
    ],
)
def test_a_registry_is_asked_as_the_kubelet_does(image: str, policy: str | None, always: bool) -> None:
    container = {"name": "c", "image": image} | ({"imagePullPolicy": policy} if policy else {})
    assert list(pod_images({"kind": "Pod", "spec": {"containers": [container]}})) == [PodImage(image, always)]
