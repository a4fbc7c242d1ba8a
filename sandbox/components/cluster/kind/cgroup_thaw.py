"""Lets nodes end that cannot: what the freezer of cgroup v1 holds still does not hear that it is killed.

runc holds a container still while it sets the rules for its devices. Whoever ends a node in that moment ends runc with
it, and nobody is left to let the container go on (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox.engine import Container, ContainerSpec, Engine, labelled
from sandbox.errors import SandboxError
from sandbox.names import Names

# What the engine says when it has killed a container and that does not end (moby, daemon/kill.go).
DEAF = "did not receive an exit event"
FREEZER = Path("/sys/fs/cgroup/freezer")
# Every group below those of the containers, and then nothing: the one that runs this is removed.
LET_GO = """
for id; do
  find /freezer -path "*$id*" -name freezer.state | while read -r state; do echo THAWED > "$state"; done
done
exec sleep 600
"""


def ending(engine: Engine, names: Names, nodes: Sequence[Container], end: Callable[[], None]) -> None:
    """Have `nodes` end by `end`, which is tried once more if they were held still; raises what it raises."""
    try:
        end()
    except SandboxError as error:
        if DEAF not in error.details or engine.cgroup_version() != 1:
            raise
    else:
        return
    command = ("sh", "-c", LET_GO, "let-go", *(node.id for node in nodes))
    helper = f"{names.cluster}-thaw"
    labelled.make_room(engine, helper, names.home)
    try:
        binds = {FREEZER: "/freezer"}
        engine.run(ContainerSpec(helper, nodes[0].image, command, names.labels, "none", binds=binds))
        end()
    finally:
        labelled.remove(engine, helper, names.home)
