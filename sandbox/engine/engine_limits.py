"""What a sandbox needs of its engine: a kind that runs clusters, ports that arrive here, folders that are shared."""

import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sandbox.engine.connection import Facts
from sandbox.engine.engine_values import Bind
from sandbox.errors import MissingTool, SandboxError

# The oldest on which a cluster was seen to run.
OLDEST_PODMAN = (4, 3)


def refusal(facts: Facts) -> MissingTool | None:
    release = tuple(map(int, re.findall(r"\d+", facts.version)[:2]))
    if facts.podman and (facts.rootless or release < OLDEST_PODMAN):
        kind = "rootless Podman" if facts.rootless else "Podman"
        return MissingTool(
            f"the engine is {kind} {facts.version}, on which sandboxes do not run",
            details="they run on Podman 4.3 or newer of root's, with netavark and aardvark-dns",
            fix="use root's Podman (sudo systemctl start podman.socket, DOCKER_HOST=unix:///run/podman/podman.sock) "
            "or a Docker Engine: docker context use default, or unset DOCKER_HOST",
            id="engine-podman",
        )
    if facts.rootless and (facts.cgroup_version == 1 or not facts.limits):
        # kind requires the same (pkg/cluster/internal/create/create.go).
        return MissingTool(
            "a cluster needs cgroup v2 on an engine without root, delegated to its user",
            details=f"a node makes control groups for its pods; this machine has cgroup v{facts.cgroup_version}, and "
            f"the engine {'may' if facts.limits else 'may not'} limit processes, memory and processor time",
            fix="boot with systemd.unified_cgroup_hierarchy=1, write [Service] and Delegate=yes to "
            "/etc/systemd/system/user@.service.d/delegate.conf, and log in again; or use an engine of root's",
            id="engine-rootless",
        )
    return None


def unheard(bind: Bind) -> SandboxError:
    """Return the error for an engine whose machine has another network, and does not forward this port to this one."""
    return SandboxError(
        f"no port of the Docker Engine answers at {bind.asked_at}:{bind.port} of this machine",
        details="a container listens there on the engine's machine, which has another network: it is a container or a "
        "virtual machine that does not forward this port to this one; some forward none below 1024",
        fix="try ports from 1024 on: sandbox up --https-port 8443; or run sandbox where the engine runs",
        id="engine-ports",
    )


def require_seen(read: Callable[[PurePosixPath], bytes | None], mounts: Mapping[Path, str]) -> None:
    """Raise SandboxError for a folder or file of `mounts` that a container does not see.

    An engine in a virtual machine sees the folders that its tool shares with it. For any other path it silently makes
    an empty folder, and programs in the container miss their files. `read` returns a file of the container, which need
    not run, or None. A folder where this user cannot make a file is not tested.
    """
    for source, target in mounts.items():
        witness = source
        if source.is_dir():
            witness = source / f".sandbox-{secrets.token_hex(8)}"
            try:
                witness.touch(mode=0o644)
            except OSError:
                continue
        try:
            inner = PurePosixPath(target) / witness.relative_to(source).as_posix()
            seen = read(inner) is not None
        finally:
            if witness != source:
                with suppress(OSError):
                    witness.unlink()
        if not seen:
            raise SandboxError(
                f"the Docker Engine does not see the folder {source if source.is_dir() else source.parent}",
                details="a container that is given it misses its files: the engine runs in a virtual machine, a "
                "container or a snap, which does not share this folder",
                fix="let the engine's machine share this folder, in the settings of its tool",
                id="engine-folders",
            )
