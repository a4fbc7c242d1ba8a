"""Repeats what the last checks of a sandbox asked, while the plan for the next check is being made.

To make a plan takes as long as a node, or the API server, takes to answer. A question that no step asks any more is
asked in vain; one that is new is asked by itself, and recorded for the next time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from sandbox.engine import Engine
from sandbox.engine.questions import Question
from sandbox.errors import SandboxError
from sandbox.kube import api_connection
from sandbox.names import Names
from sandbox.system import files

MOST = 200  # questions to the API server; more would be answered later than they are wanted


@contextlib.contextmanager
def glance(engine: Engine, names: Names) -> Iterator[None]:
    """Keep what engine and API server answer for the block, which changes nothing, and what certificates say."""
    from sandbox.components.certificates import facts  # a push does without

    with engine.glance(), api_connection.glance(names.kubeconfig), facts.glance(names.certificate_facts):
        yield


def ask(engine: Engine, names: Names) -> None:
    """Begin to ask, in a glance, what was asked last: the API server, and nodes that still are the same containers."""
    recorded, api = _recorded(names), api_connection.find(names.kubeconfig)
    with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError):  # another release wrote it
        for node, known in recorded["nodes"].items():
            paths, commands = map(PurePosixPath, known["files"]), map(tuple, known["commands"])
            questions: list[Question] = [*paths, *commands]
            engine.gather_known(node, str(known["id"]), questions)
        if api:
            api.read_ahead([(str(path), str(accept)) for path, accept in recorded["reads"]])


def remember(engine: Engine, names: Names) -> None:
    """Record what was asked in this glance, if that is new and can be recorded.

    A stopped node is asked for a file or two only, which says nothing of the next check.
    """
    with contextlib.suppress(SandboxError):
        nodes = {}
        for node, questions in sorted(engine.questions_asked().items()):
            found = engine.container(node)
            if found is None or not found.running:
                return
            nodes[node] = {"id": found.id, **_described(questions)}
        api, before = api_connection.find(names.kubeconfig), _recorded(names)
        reads = [list(read) for read in api.reads()][:MOST] if api else []
        # They will be answered in the order in which they were wanted now; that is another each time.
        same = before.get("nodes") == nodes and _in_order(before.get("reads")) == _in_order(reads)
        if nodes and not same:
            files.write_atomic(names.asked, json.dumps({"nodes": nodes, "reads": reads}).encode(), mode=0o600)


def _in_order(reads: object) -> list[str]:
    return sorted(map(repr, reads)) if isinstance(reads, list) else []


def _recorded(names: Names) -> Mapping[str, Any]:
    try:
        return dict(files.read_json(names.asked))
    except (OSError, ValueError, TypeError):
        return {}


def _described(questions: Collection[Question]) -> Mapping[str, object]:
    paths = sorted(str(one) for one in questions if isinstance(one, PurePosixPath))
    commands = sorted(list(one) for one in questions if not isinstance(one, PurePosixPath))
    return {"files": paths, "commands": commands}
