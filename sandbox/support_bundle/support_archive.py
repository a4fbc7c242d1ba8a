"""One archive of everything that a report needs: logs, states and settings, collected in parallel, without secrets."""

import io
import json
import platform
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from sandbox import __version__
from sandbox.app import machine_plan
from sandbox.config.schema import Spec
from sandbox.doctor.check import DoctorContext, run
from sandbox.doctor.table import checks_of
from sandbox.engine import Engine, EngineError, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.pods import container_statuses
from sandbox.names import Home, Names
from sandbox.plan import lifecycle, providers
from sandbox.provider import Nodes
from sandbox.support_bundle import redaction
from sandbox.support_bundle.redaction import Redaction
from sandbox.system import files

Part = Callable[[], Iterator[tuple[str, str]]]

LARGEST = 1 << 20
PROBLEMS = "problems.txt"
OWNER_ONLY = 0o600
SECONDS = 120.0
LINES = 5000
POD_LINES = 1000
IN_NODE = {
    "kubelet.log": ("journalctl", "--no-pager", "--unit=kubelet", f"--lines={LINES}"),
    "containerd.log": ("journalctl", "--no-pager", "--unit=containerd", f"--lines={LINES}"),
    "sandbox.log": ("journalctl", "--no-pager", "--unit=sandbox-*", f"--lines={LINES}"),
    "containers.txt": ("crictl", "ps", "--all"),
    "images.txt": ("crictl", "images", "--digests"),
    "disk.txt": ("df", "-h"),
    "addresses.txt": ("ip", "address"),
    "routes.txt": ("ip", "route"),
    "resolv.conf": ("cat", "/etc/resolv.conf"),
    "registries.txt": ("grep", "--recursive", "", "/etc/containerd/certs.d"),
}
IN_NAMESPACES = (
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Event"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "Ingress"),
)
CONFIGURATIONS = ("*.cfg", "*.map", "routes/*.json", "routes/by-hand/*.json", "routes/registries/*.json")


def make(path: Path, spec: Spec, context: DoctorContext) -> int:
    """Write the archive of a sandbox, even a broken one, and return the number of files in it. Raises SandboxError."""
    texts = gather(_parts(spec, context), seconds=SECONDS)
    in_cluster = redaction.in_the_cluster(context.names.kubeconfig, context.spec.namespace)
    redact = Redaction((*redaction.on_this_machine(context.home, spec, context.environment), *in_cluster))
    content = io.BytesIO()
    folder = path.name.removesuffix(".tar.gz")
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in sorted(texts.items()):
            data = redact(text).encode(errors="replace")
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(data), OWNER_ONLY, int(time.time())
            tar.addfile(info, io.BytesIO(data))
    files.write_atomic(path, content.getvalue(), mode=OWNER_ONLY)
    return len(texts)


def _parts(spec: Spec, context: DoctorContext) -> dict[str, Part]:
    names, docker, namespace = context.names, context.docker, context.spec.namespace

    def doctor() -> Iterator[tuple[str, str]]:
        rows = run(checks_of(context), context, seconds=context.seconds)
        yield "doctor.json", json.dumps(list(map(asdict, rows)), indent=2)

    def status() -> Iterator[tuple[str, str]]:
        survey = lifecycle.survey(machine_plan.steps(spec)[0])
        rows = [{"step": step.name, "state": status.state.value, "detail": status.detail} for step, status in survey]
        yield "status.json", json.dumps(rows, indent=2)

    parts: dict[str, Part] = {
        "logs": lambda: logs(context.home, names),
        "configurations": lambda: configurations(context),
        "versions": lambda: versions(context),
        "doctor": doctor,
    }
    if not isinstance(docker, SandboxError):
        engine = docker

        def own_nodes() -> Iterator[tuple[str, str]]:
            labelled.require(engine, names)  # a cluster of this name may be another user's
            yield from nodes(providers.nodes(engine, names))

        parts |= {"status": status, "containers": partial(containers, engine, context.home), "nodes": own_nodes}
    if names.kubeconfig.exists():
        parts["objects"] = lambda: objects(Cluster(names.kubeconfig), namespace)
        parts["pods"] = lambda: pods(Cluster(names.kubeconfig), namespace)
    return parts


def gather(parts: Mapping[str, Part], *, seconds: float) -> dict[str, str]:
    """Return the content of the parts, by path, as far as it has come after `seconds`.

    Of a long text the last MiB is kept. What failed or is late is listed in `problems.txt`.
    """
    texts: dict[str, str] = {}
    problems: list[str] = []

    def collect(name: str, part: Part) -> None:
        try:
            for path, text in part():
                texts[path] = text[-LARGEST:]
        except Exception as error:  # a broken sandbox may raise anything, and the rest is needed all the more
            problems.append(f"{name}: {type(error).__name__}: {error}")

    deadline = time.monotonic() + seconds
    threads = {name: threading.Thread(target=collect, args=(name, part), daemon=True) for name, part in parts.items()}
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = [f"{name}: not finished within {seconds:g} s" for name, thread in threads.items() if thread.is_alive()]
    listed = "".join(f"{problem}\n" for problem in (*problems, *late))
    return {**texts, **({PROBLEMS: listed} if listed else {})}


def logs(home: Home, names: Names) -> Iterator[tuple[str, str]]:
    for log in (*home.state.glob("sandbox.log*"), *names.folder.rglob("*.log"), *home.forwards.glob("*.log")):
        yield f"logs/{log.relative_to(home.state)}", log.read_text(errors="replace", encoding="utf-8")


def configurations(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield the resolved spec, the spec of the last `up`, and the configuration of the edge."""
    yield "spec.json", context.spec.model_dump_json(indent=2)
    if files.is_file(context.names.spec):
        yield "spec-of-the-last-up.json", context.names.spec.read_text(encoding="utf-8")
    folder = context.home.edge
    for pattern in CONFIGURATIONS:
        for file in folder.glob(pattern):
            yield f"{folder.name}/{file.relative_to(folder)}", file.read_text(errors="replace", encoding="utf-8")


def versions(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield the versions of sandbox, Python and its packages, the system and the engine."""
    packages = sorted(f"{package.name} {package.version}" for package in metadata.distributions())
    release = Path("/etc/os-release")
    release_text = release.read_text(errors="replace", encoding="utf-8") if release.exists() else ""
    system = (f"sandbox {__version__}", f"python {sys.version}", platform.platform(), release_text)
    yield "versions.txt", "\n".join((*system, "", *packages)) + "\n"
    engine = str(context.docker) if isinstance(context.docker, SandboxError) else asdict(context.docker.facts())
    yield "engine.json", json.dumps(engine, indent=2, default=str)


def containers(engine: Engine, home: Home) -> Iterator[tuple[str, str]]:
    """Yield this user's containers, those of other sandboxes too, with their last log lines."""
    for container in labelled.containers(engine, home):
        yield f"containers/{container.name}.json", json.dumps(asdict(container), indent=2, default=str)
        try:
            log = engine.logs(container.name, lines=LINES)
        except EngineError as error:  # it is gone by now
            log = f"{error}\n"
        yield f"containers/{container.name}.log", log


def nodes(nodes: Nodes) -> Iterator[tuple[str, str]]:
    for node in nodes.running():
        for name, argv in IN_NODE.items():
            yield f"nodes/{node}/{name}", nodes.engine.execute(node, argv)[1]


def objects(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str]]:
    """Yield objects by kind, without values of environment variables and annotations that repeat the object.

    With a `namespace`, nothing outside it is read: it is another user's.
    """
    kinds = IN_NAMESPACES if namespace else (("v1", "Node"), *IN_NAMESPACES)

    def listed(kind: tuple[str, str]) -> tuple[str, str]:
        try:
            objects = cluster.list(*kind, namespace)
        except ClusterError as error:
            return f"objects/{kind[1]}.txt", f"{error}\n"
        return f"objects/{kind[1]}.json", json.dumps([_bare(item) for item in objects], indent=1)

    with ThreadPoolExecutor(len(kinds)) as pool:  # so that a server that is away is waited for once
        yield from pool.map(listed, kinds)


def pods(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str]]:
    """Yield the last log lines of each container, before its restart too, of all pods or those in `namespace`."""
    for pod in cluster.list("v1", "Pod", namespace):
        place, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for status in container_statuses(pod):
            for previous in (False, True) if status.get("restartCount") else (False,):
                log = cluster.log(name, place, lines=POD_LINES, container=status["name"], previous=previous)
                yield f"pods/{place}/{name}/{status['name']}{'-before' if previous else ''}.log", log


def _bare(value: Any) -> Any:
    match value:
        case {"managedFields": _}:
            annotations = {k: v for k, v in value.get("annotations", {}).items() if "last-applied" not in k}
            return {k: _bare(v) for k, v in {**value, "annotations": annotations}.items() if k != "managedFields"}
        case {"env": list(variables)}:
            names = [{k: v for k, v in variable.items() if k != "value"} for variable in variables]
            return {k: _bare(v) for k, v in value.items() if k != "env"} | {"env": names}
        case dict():
            return {k: _bare(v) for k, v in value.items()}
        case list():
            return [_bare(item) for item in value]
    return value
