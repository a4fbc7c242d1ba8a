"""Engines on which no cluster can run, refused at once by `up` and the doctor alike."""

from __future__ import annotations

import re

from sandbox.engine.connection import Facts
from sandbox.errors import MissingTool

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
    if facts.rootless and facts.cgroup_version == 1:
        return MissingTool(
            "a cluster needs cgroup v2 on an engine without root",
            details="with cgroup v1 only root may give containers control groups of their own, and a node's kubelet "
            "makes one for each pod",
            fix="boot with systemd.unified_cgroup_hierarchy=1, or use an engine of root's",
            id="engine-rootless",
        )
    if facts.rootless and not facts.limits:  # kind requires the same (pkg/cluster/internal/create/create.go)
        return MissingTool(
            "the engine without root may not limit processes, memory and processor time",
            details="systemd has not delegated these control groups to its user, and a node needs them",
            fix="write [Service] and Delegate=yes to /etc/systemd/system/user@.service.d/delegate.conf, run "
            "sudo systemctl daemon-reload, and log in again",
            id="engine-rootless",
        )
    return None
