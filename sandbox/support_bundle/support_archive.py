"""One archive of everything that a report needs: logs, states and settings, collected in parallel, without secrets."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from sandbox.app import machine_plan
from sandbox.config.schema import Spec
from sandbox.doctor.check import DoctorContext, run
from sandbox.doctor.table import checks_of
from sandbox.engine import labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.plan import lifecycle, providers
from sandbox.support_bundle import collected_state, redaction
from sandbox.support_bundle.redaction import Redaction
from sandbox.system import files

Part = Callable[[], Iterator[tuple[str, str]]]

LARGEST = 1 << 20
PROBLEMS = "problems.txt"
OWNER_ONLY = 0o600
SECONDS = 120.0


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


def require_absent(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} exists already", fix="remove it, or name another file with --out")


def _parts(spec: Spec, context: DoctorContext) -> dict[str, Part]:
    names, docker, namespace = context.names, context.docker, context.spec.namespace

    def doctor() -> Iterator[tuple[str, str]]:
        rows = run(checks_of(context), context, seconds=context.seconds)
        yield "doctor.json", json.dumps([row.as_json() for row in rows], indent=2)

    def status() -> Iterator[tuple[str, str]]:
        survey = lifecycle.survey(machine_plan.steps(spec)[0])
        rows = [{"step": step.name, "state": status.state.value, "detail": status.detail} for step, status in survey]
        yield "status.json", json.dumps(rows, indent=2)

    parts: dict[str, Part] = {
        "logs": lambda: collected_state.logs(context.home, names),
        "configurations": lambda: collected_state.configurations(context),
        "versions": lambda: collected_state.versions(context),
        "doctor": doctor,
    }
    if not isinstance(docker, SandboxError):
        engine = docker

        def nodes() -> Iterator[tuple[str, str]]:
            labelled.require(engine, names)  # a cluster of this name may be another user's
            yield from collected_state.nodes(providers.nodes(engine, names))

        containers = partial(collected_state.containers, engine, context.home)
        parts |= {"status": status, "containers": containers, "nodes": nodes}
    if names.kubeconfig.exists():
        parts["objects"] = lambda: collected_state.objects(Cluster(names.kubeconfig), namespace)
        parts["pods"] = lambda: collected_state.pods(Cluster(names.kubeconfig), namespace)
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
