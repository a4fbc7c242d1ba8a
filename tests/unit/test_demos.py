"""The demos can be read: their specs, their lists of images, their manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.config.resolve import load
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.images import images_yaml
from sandbox.kube import manifests
from sandbox.names import is_below

DEMOS = Path(__file__).parents[2] / "fixtures" / "demos"


@pytest.mark.parametrize("demo", sorted(path.name for path in DEMOS.iterdir()))
def test_a_demo_runs_only_what_it_pushes(demo: str) -> None:
    spec = load(DEMOS / demo / "sandbox.yaml")
    assert spec.push is not None
    pushed = {f"localhost:5001/{entry.target}" for entry in images_yaml.load(spec.push)}
    objects = manifests.load(applied(spec.apply))
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    assert {container["image"] for pod in pods for container in pod["containers"]} <= pushed
    hosts = [rule["host"] for one in objects if one["kind"] == "Ingress" for rule in one["spec"]["rules"]]
    assert hosts and all(is_below(host, spec.base_domain) for host in hosts)
