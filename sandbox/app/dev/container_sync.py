"""Copies files into the running containers of an image."""

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.app.dev.changed_files import Copied
from sandbox.app.dev.dev_report import Container
from sandbox.components.workloads import restart
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, ClusterError, Manifest
from sandbox.kube.container_exec import execute
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pods import container_statuses, lasting
from sandbox.oci.reference import Target

# The arguments are paths to delete; the archive is on standard input.
SCRIPT = """\
for one in rm tar; do command -v $one >/dev/null || eval $one'() { busybox '$one' "$@"; }'; done
for path; do rm -rf -- "$path"; done
tar -xf - -C /
"""


class SyncFailed(SandboxError):
    """Files could not be copied into a container, or the command of a rule failed there."""

    id = "sync-failed"


@dataclass(frozen=True)
class Running:
    """A container that runs an image; its program is restarted by a signal if it is `restartable`.

    `life` is another one each time Kubernetes starts it: then it begins with its image.
    """

    container: Container
    restartable: bool
    life: str = ""


def running(pods: Iterable[Manifest], prefix: str, target: Target) -> list[Running]:
    """Return the containers that run the image `target` of the registry `prefix`, whatever its digest.

    None of them, if another one is about to run it: that would begin without what is copied into these.
    """
    name = f"{prefix}/{target.repository}{f':{target.tag}' if target.tag else ''}"
    containers = []
    for pod in pods:
        metadata = pod["metadata"]
        if is_leaving(pod) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        statuses = {status["name"]: status for status in container_statuses(pod)}
        for each in lasting(pod["spec"]):
            if str(each.get("image", "")).partition("@")[0] != name:
                continue
            status = statuses.get(each["name"]) or {}
            if "running" not in (status.get("state") or {}):
                return []
            place = Container(metadata["namespace"], metadata["name"], each["name"])
            containers.append(Running(place, restart.is_supervised(each), str(status.get("containerID", ""))))
    return containers


def copy(copied: Copied, into: Sequence[Running], cluster: Cluster) -> None:
    """Copy the files into all these containers, then do what their rules say.

    Raises SyncFailed where a container has no shell or tar, or refuses the files.
    """
    archive, gone = packed(copied.files)
    for place in into:
        _run(cluster, place.container, ["sh", "-c", SCRIPT, "sh", *gone], archive)
        for rule in copied.rules:
            if rule.restart and not place.restartable:
                raise SyncFailed(f"{place.container.pod} cannot start its program again", details="it runs without sh")
            if after := restart.COMMAND if rule.restart else rule.run:
                _run(cluster, place.container, after, b"")


def packed(files: Mapping[Path, str]) -> tuple[bytes, list[str]]:
    """Return a tar of these files and folders, and the paths that were deleted.

    The files belong to root, as with COPY. Raises SyncFailed for one that cannot be read.
    """
    buffer, gone = io.BytesIO(), list[str]()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, place in files.items():
            try:
                if path.is_symlink() or path.exists():
                    archive.add(path, place.lstrip("/"), recursive=False, filter=_owned_by_root)
                else:
                    gone.append(place)
            except OSError as error:
                raise SyncFailed(f"{path} cannot be read", details=str(error)) from error
    return buffer.getvalue(), gone


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _run(cluster: Cluster, place: Container, argv: Sequence[str], stdin: bytes) -> None:
    try:
        done = execute(cluster, pod=place.pod, namespace=place.namespace, container=place.name, argv=argv, stdin=stdin)
    except ClusterError as error:
        raise SyncFailed(f"files cannot be copied into {place.pod}", details=error.details or error.brief) from error
    if done.status:
        output = done.complaints or done.output.decode(errors="replace")[-500:]
        what = argv[0] if argv[0] != "sh" else "the copy"
        raise SyncFailed(f"{what} failed in {place.pod} with status {done.status}", details=output)
