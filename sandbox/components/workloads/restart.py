"""Restarts a container's program without the container, so that files that were copied into it stay.

A restarted container begins with its image again. So while `dev` works, a small shell is the first process of
containers with a `restart` rule; on a hangup it ends the program and starts it once more.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.kube.api import Manifest
from sandbox.kube.pods import containers

NAME = "sandbox-dev"
# A signal may come before the shell knows the program that it has just begun.
SUPERVISOR = """\
again= over= child=
trap 'again=1; kill "$child" 2>/dev/null' HUP
trap 'over=1; kill "$child" 2>/dev/null' TERM INT
while :; do
  "$@" & child=$!
  [ ! "$again$over" ] || kill "$child"
  while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do :; done
  [ "$again" ] && [ ! "$over" ] || exit "$code"
  again=
done
"""
COMMAND = ("sh", "-c", "kill -HUP 1")


@dataclass(frozen=True)
class Program:
    """What an image runs (OCI image-spec, config.md: Entrypoint and Cmd)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()


def is_supervised(container: Mapping[str, Any]) -> bool:
    return list(container.get("command") or ())[:4] == ["sh", "-c", SUPERVISOR, NAME]


def supervised(manifest: Manifest, programs: Mapping[str, Program]) -> dict[str, Any]:
    """Return the object with the shell before the programs of images in `programs`, by names without a digest."""
    made = copy.deepcopy(dict(manifest))
    for container in containers(made, ("containers",)):
        program = programs.get(str(container.get("image", "")).partition("@")[0])
        if program is None or is_supervised(container):
            continue
        # As Kubernetes has it: args replace Cmd, and a command replaces both.
        own = list(container.get("command") or ())
        words = [*(own or program.entrypoint), *(container.get("args") or (() if own else program.cmd))]
        if words:
            container["command"] = ["sh", "-c", SUPERVISOR, NAME, *words]
            container.pop("args", None)
    return made
