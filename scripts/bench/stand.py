"""The registry of the benchmark: the bundle's own, in a container or as a process, empty whenever that is asked for."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import docker
from words import attempt, run

from sandbox.bundle.recipe import recipes

NAME = "sandbox-bench-registry"
VOLUME = "sandbox-bench-registry"
NETWORK = "sandbox-bench"  # as a sandbox has one
ENVIRONMENT = (
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/var/lib/registry",
    "REGISTRY_HTTP_ADDR=:5000",
    "REGISTRY_LOG_LEVEL=warn",
    "OTEL_TRACES_EXPORTER=none",
)
ACCEPT = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """A registry on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.image = recipes()["registry"].reference
        if not run("docker", "image", "ls", "-q", self.image):
            raise SystemExit(f"the engine has no image {self.image}: run `sandbox up` or load it from the bundle first")
        self._engine = docker.from_env()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def empty(self) -> None:
        """Start it again with nothing in it."""
        self.remove()
        options = [word for setting in ENVIRONMENT for word in ("-e", setting)]
        run("docker", "network", "create", NETWORK)
        options += [
            "--network",
            NETWORK,
            "-v",
            f"{VOLUME}:/var/lib/registry",
            "-p",
            f"{self.host}:5000",
            "--name",
            NAME,
        ]
        run("docker", "run", "-d", *options, self.image, "serve", "/etc/distribution/config.yml")
        self._wait()

    def _wait(self) -> None:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the benchmark's registry does not answer at {self.host}")

    def remove(self) -> None:
        """Remove it with all it holds."""
        attempt("docker", "rm", "-f", "-v", NAME)
        attempt("docker", "volume", "rm", "-f", VOLUME)
        attempt("docker", "network", "rm", NETWORK)

    def received(self) -> int:
        """The bytes that have reached its network interface since it was started, headers and all.

        As the kernel counts them, `proc_pid_net(5)`: engines on some hosts have no statistics of containers.
        """
        return _received(self._engine.containers.get(NAME).attrs["State"]["Pid"], loopback=False)

    def blobs(self, names: Iterable[str]) -> dict[str, int]:
        """The size of every blob of these images by digest, as the registry's manifests say."""
        found: dict[str, int] = {}
        for name in names:
            request = urllib.request.Request(f"http://{self.host}/v2/{name}/manifests/1", headers={"Accept": ACCEPT})
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # http, just above
                manifest = json.load(answer)
            found |= {blob["digest"]: blob["size"] for blob in (manifest["config"], *manifest["layers"])}
        return found


class ProcessRegistry(Registry):
    """The same as a process on the loopback, for an engine whose containers have no network.

    It belongs in that engine's network namespace, as the whole benchmark does.
    """

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandbox" / "bundle"
        built = sorted(cache.glob("registry-*/bin/registry"), key=lambda path: path.stat().st_mtime)
        if not built:
            raise SystemExit("the bundle's registry is not built: sandbox bundle build registry")
        self._program = built[-1]
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-bench-registry-"))
        self._process: subprocess.Popen[bytes] | None = None

    def empty(self) -> None:
        """Start it again with nothing in it."""
        self.remove()
        self._folder.mkdir(exist_ok=True)
        config = self._folder / "config.json"  # which is YAML too
        storage = {"filesystem": {"rootdirectory": str(self._folder / "data")}, "delete": {"enabled": True}}
        config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": self.host}}))
        settings = {**os.environ, "REGISTRY_LOG_LEVEL": "warn", "OTEL_TRACES_EXPORTER": "none"}
        self._process = subprocess.Popen(
            [self._program, "serve", config], env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait()

    def remove(self) -> None:
        """End it and remove all it holds."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def received(self) -> int:
        """The bytes that have passed the loopback of its network namespace, which nothing else uses meanwhile."""
        return _received(self._process.pid if self._process else os.getpid(), loopback=True)


def _received(process: int, *, loopback: bool) -> int:
    rows = (line.split(":") for line in Path(f"/proc/{process}/net/dev").read_text().splitlines()[2:])
    return sum(int(counts.split()[0]) for interface, counts in rows if (interface.strip() == "lo") is loopback)
