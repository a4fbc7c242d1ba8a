"""What the real tests ask of the machine: a command line to run, free ports, what is there before and after."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.errors import MissingTool
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import EDGE, LABEL, OWNER
from sandbox.system import host_network
from tests.support import published_json

SANDBOX = (sys.executable, "-m", "sandbox")
ROOT = Path(__file__).parents[2]
NEIGHBOURS = ("sandbox-test-", "sandbox-bench-", "kind-registry")
LOOPBACK = {"127.0.0.1", "[::1]"}
CONTAINER = "{{.Names}}\t{{.Networks}}\t{{.Mounts}}"
# What comes and goes by itself, a disk among it: its provisioner takes it away when it finds the time.
RESTLESS = {"Event", "Lease", "PodMetrics", "NodeMetrics", "ComponentStatus", "PersistentVolume"}
PROVISIONER = "local-path-storage"
# Of a pod that the kubelet has by a file, and tells the API server of when it finds the time.
MIRROR = "kubernetes.io/config.mirror"

Listing = frozenset[tuple[str, str, str]]

_claims: dict[int, socket.socket] = {}


def engine() -> Engine:
    """The machine's Docker Engine; without one the test is skipped here and fails in CI."""
    try:
        return Engine.connect()
    except MissingTool as error:
        leave_out(f"needs a Docker Engine: {error.brief}")


def leave_out(why: str) -> NoReturn:
    """Skip the test, for this machine lacks what it needs or has what is in its way; in CI, which must not, fail."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def need(*programs: str) -> None:
    """Leave the test out unless all these programs are on the PATH."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        leave_out(f"needs {', '.join(missing)}")


def require_engine_here() -> None:
    """Skip the test where the engine has another network, for it asks nodes at their addresses."""
    if not engine().shares_network():
        pytest.skip("the engine's machine has another network: its addresses are not reached, nor are ours bound there")


def free_ports(*wanted: int) -> tuple[int, ...]:
    """Each of `wanted` when it is free, as it always is in CI, else the next that is and is not taken by the others.

    They are used later, and no other run of the tests chooses them until this one has ended.
    """
    chosen: list[int] = []
    for port in wanted:
        while port in chosen or not _claim(port):
            port = host_network.next_free("127.0.0.1", port)
        chosen.append(port)
    return tuple(chosen)


def _claim(port: int) -> bool:
    """Tell whether a port is free, and this run's: by a socket whose name the kernel gives to one process at a time."""
    if os.environ.get("CI"):
        return True
    if not host_network.is_free("127.0.0.1", port):
        return False
    if port not in _claims:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sandbox-test-port-{port}")
        except OSError:
            claim.close()
            return False
        _claims[port] = claim
    return True


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """The `sandbox` command, run as a user would, with some variables of its own."""

    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    program: tuple[str, ...] = SANDBOX

    def __call__(self, *arguments: str | Path, status: int | None = 0, timeout: float = 600) -> Ran:
        """Run it to its end; fails the test unless it exits with `status`."""
        argv = [*self.program, *map(str, arguments)]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert status is None or ran.status == status, f"{' '.join(argv)}\n{ran.out}\n{ran.err}"
        assert "Traceback" not in ran.err
        published_json.check_printed(tuple(map(str, arguments)), ran.out)
        return ran

    def steps(self) -> dict[str, tuple[str, str]]:
        """State and detail of every step by its name, as `status` tells them."""
        found = json.loads(self("status", "-o", "json", status=None).out)
        return {one["step"]: (one["state"], one["detail"]) for one in found["steps"]}

    def doctor(self, *arguments: str, status: int | None = None) -> dict[str, dict[str, Any]]:
        found = json.loads(self("doctor", *arguments, "-o", "json", status=status).out)
        return {row["id"]: row for row in found}

    def start(
        self, *arguments: str, out: int | None = subprocess.PIPE, err: int | None = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Begin it in a session of its own, for what is done to it or asked of it meanwhile."""
        return subprocess.Popen(
            [*self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
            env=self._environment,
            cwd=self.folder,
            start_new_session=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SANDBOX_PROGRESS": "plain", **self.env}


def tool(
    *argv: str | Path,
    stdin: str = "",
    status: int | None = 0,
    env: Mapping[str, str] | None = None,
    program: Path | None = None,
) -> str:
    """Run another program, which may be elsewhere than its name says; its output, both streams merged."""
    words: Sequence[str] = [str(word) for word in argv]
    done = subprocess.run(
        words,
        executable=program,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )
    assert status is None or done.returncode == status, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout


def kubectl(kubeconfig: Path, *argv: str | Path, stdin: str = "", status: int | None = 0) -> str:
    """What kubectl prints: that on the PATH, else the bundle's program for all of Kubernetes, called by its name."""
    bundled = None
    if shutil.which("kubectl") is None:
        bundled = Store(context.home().bundle).program(recipes()["kubernetes"], "kubernetes")
    return tool("kubectl", "--kubeconfig", kubeconfig, *argv, stdin=stdin, status=status, program=bundled)


def listeners(*ports: int) -> dict[int, set[str]]:
    """The addresses of this machine at which each of these TCP ports is listened on."""
    heard = [line.split()[3].rpartition(":") for line in tool("ss", "-Hltn").splitlines()]
    return {wanted: {address for address, _, port in heard if int(port) == wanted} for wanted in ports}


def ours(where: Engine) -> dict[str, frozenset[str]]:
    """Everything on the engine that a sandbox could have left: containers, networks and volumes by name.

    What other tests, benches and users have may come and go meanwhile, and is left out.
    """
    mine = context.home().labels[OWNER]

    def theirs(name: str, owner: str) -> bool:
        return name.startswith(NEIGHBOURS) or owner not in ("", mine)

    found = _listed("network", "ls", columns="{{.Name}}")
    others = {name for name, owner in found if theirs(name, owner)}
    networks = {name for name, _ in found} - others
    containers, in_use = set(), set()
    for name, joined, mounted, owner in _listed("ps", "--all", "--no-trunc", columns=CONTAINER):
        # A node has no owner's label; its sandbox's network has.
        if theirs(name, owner) or others.issuperset(joined.split(",")):
            in_use.update(mounted.split(","))
        else:
            containers.add(name)
            if name == EDGE:  # which other sandboxes may need, and which is made again with another volume
                in_use.update(mounted.split(","))
    volumes = {name for name, owner in _listed("volume", "ls", columns="{{.Name}}") if not theirs(name, owner)}
    return {
        "containers": frozenset(containers),
        "networks": frozenset(networks),
        "volumes": frozenset(volumes - in_use),
        "labelled": frozenset(one.name for one in where.containers(LABEL) if one.name in containers),
    }


def _listed(*argv: str, columns: str) -> list[list[str]]:
    """What docker lists, in these columns and another one for the owner that the object's label names."""
    said = tool("docker", *argv, "--format", f'{columns}\t{{{{.Label "{OWNER}"}}}}')
    return [line.split("\t") for line in said.splitlines()]


def listing(cluster: Cluster) -> Listing:
    """Every object of a cluster that stays: its kind, its namespace, its name."""
    found: set[tuple[str, str, str]] = set()
    for version in cluster.groups():
        for kind in cluster.resources(version):
            if "list" in kind.verbs and kind.kind not in RESTLESS:
                objects = (one["metadata"] for one in _all(cluster, version, kind.kind))
                found |= {
                    (kind.kind, one.get("namespace", ""), one["name"])
                    for one in objects
                    if one.get("namespace") != PROVISIONER and MIRROR not in one.get("annotations", ())
                }
    return frozenset(found)


def _all(cluster: Cluster, version: str, kind: str) -> list[dict[str, Any]]:
    try:
        return cluster.list(version, kind)
    except ClusterError:  # can be listed with a namespace or a name only
        return []
