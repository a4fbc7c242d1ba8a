"""The real tests once more, with images of the published layout that a registry serves by digest, or is a mirror of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.config.schema import Spec
from tests.real import machine
from tests.support.bundled import store_with

pytestmark = [pytest.mark.real, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
LANE = ROOT / "scripts" / "lanes" / "upstream"
REGISTRY = ("test_demo.py", "test_nodes.py", "test_shape.py", "test_snapshot.py", "test_outbound.py", "one_sandbox")
MIRROR = ("test_addons.py", "test_upgrade.py", "test_control_planes.py")


@pytest.mark.timeout(5400)
@pytest.mark.parametrize(("options", "files"), [((), REGISTRY), (("--mirror", "--also", "1.35"), MIRROR)])
def test_sandbox_of_published_images_is_as_good(options: tuple[str, ...], files: tuple[str, ...]) -> None:
    if Spec().images.source == "upstream":
        pytest.skip("this is that run")
    machine.engine()
    store_with("node", "registry", "haproxy", "traefik", "busybox", "metrics-server", "balancer", "kind")
    tests = [f"tests/real/{one}" for one in files]
    words = ["pytest", "-q", "-m", "real", "-k", "not minikube", "--timeout", "1200", *tests]
    done = subprocess.run(
        [sys.executable, LANE, *options, *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20000:]
