"""Repeats what the last checks of a sandbox asked its nodes, while the plan for the next check is being made.

To make a plan takes as long as a node takes to answer. A question that no step asks any more is asked in vain; one that
is new is asked by itself, and recorded for the next time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from sandbox.engine import Engine
from sandbox.engine.questions import Question
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import files


def ask(engine: Engine, names: Names) -> None:
    """Begin to ask each node what it was asked last, while answers are kept, if it still is the same container."""
    with contextlib.suppress(LookupError, TypeError, AttributeError):  # another release may have written it
        for node, known in _recorded(names).items():
            paths, commands = map(PurePosixPath, known["files"]), map(tuple, known["commands"])
            questions: list[Question] = [*paths, *commands]
            engine.gather_known(node, str(known["id"]), questions)


def remember(engine: Engine, names: Names) -> None:
    """Record what nodes were asked in this check, if that is new and can be recorded."""
    with contextlib.suppress(SandboxError):
        found = sorted(engine.questions_asked().items())
        asked = {node: _described(engine, node, questions) for node, questions in found}
        if asked and asked != _recorded(names):
            files.write_atomic(names.asked, json.dumps(asked).encode(), mode=0o600)


def _recorded(names: Names) -> Mapping[str, Any]:
    try:
        return dict(json.loads(names.asked.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _described(engine: Engine, node: str, questions: Collection[Question]) -> Mapping[str, object]:
    """Return the id of a node's container, which no other has, with the questions it was asked."""
    found = engine.container(node)
    paths = sorted(str(one) for one in questions if isinstance(one, PurePosixPath))
    commands = sorted(list(one) for one in questions if not isinstance(one, PurePosixPath))
    return {"id": found.id if found else "", "files": paths, "commands": commands}
