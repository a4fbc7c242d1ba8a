"""However large an image is, a push of it out of the engine needs the same little memory."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import machine
from tests.real.machine import tool
from tests.real.registry.stand import registry

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
NAME = f"sandbox-test-{os.getpid()}/large:1"
SIZE = int(os.environ.get("SANDBOX_TEST_IMAGE_MB") or 300) << 20
MOST = 100 << 20
PROGRAM = """
import sys
from pathlib import Path
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.push import push
from sandbox.oci.reference import parse_target
(result,) = push([FromDaemon(parse_target("large:1"), sys.argv[1])], sys.argv[2], Engine.connect())
# Not getrusage: what it calls the peak includes that of the process that started this one.
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(result.size, int(peak) * 1024)
"""


class Noise(io.RawIOBase):
    """Bytes without end that do not repeat."""

    def __init__(self) -> None:
        self._random = random.Random(os.getpid())  # noqa: S311

    def read(self, size: int = -1) -> bytes:
        return self._random.randbytes(size)


@pytest.fixture
def image() -> Iterator[str]:
    machine.engine()
    importing = subprocess.Popen(["docker", "import", "-", NAME], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert importing.stdin is not None
    try:
        with tarfile.open(fileobj=importing.stdin, mode="w|") as tar:
            member = tarfile.TarInfo("noise")
            member.size = SIZE
            tar.addfile(member, Noise())
        importing.stdin.close()
        assert importing.wait(300) == 0
        yield NAME
    finally:
        tool("docker", "image", "rm", "-f", NAME, status=None)


@pytest.mark.nightly
def test_the_memory_of_a_push_does_not_grow_with_the_image(image: str, tmp_path: Path) -> None:
    with registry("distribution", tmp_path) as host:
        argv = [sys.executable, "-c", PROGRAM, image, f"http://{host}"]
        output = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=500).stdout
    size, peak = map(int, output.split())
    assert size > SIZE
    print(f"{size} bytes pushed with {peak >> 20} MiB of memory")
    assert peak < MOST
