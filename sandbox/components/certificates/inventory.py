"""All certificates of a keystore with their facts and how they stand, for whoever shows them to a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sandbox.components.certificates.condition import Condition, State
from sandbox.components.certificates.describe import Facts, describe
from sandbox.components.certificates.keyfiles import KeyFiles
from sandbox.components.certificates.keystore import Keystore
from sandbox.errors import SandboxError

ROOT = "root"
ISSUING = "issuing"
LEAF = "leaf"


@dataclass(frozen=True)
class Entry:
    """One certificate: its name, its role (`root`, `issuing` or `leaf`), its file; no facts when it is unreadable."""

    name: str
    role: str
    file: Path
    condition: Condition
    facts: Facts | None


def inventory(store: Keystore, *, now: datetime) -> tuple[Entry, ...]:
    """The root, the issuing authority and the leaves that `store` has, in this order."""
    found = [
        Entry(role, role, files.cert, condition, _facts(files, now))
        for role, files, condition in (
            (ROOT, store.root, store.inspect_root(now=now)),
            (ISSUING, store.issuing, store.inspect_issuing(now=now)),
        )
        if condition.state is not State.ABSENT
    ]
    for name in store.leaf_names():
        files = store.leaf_files(name)
        facts = _facts(files, now)
        condition = store.inspect_leaf(name, facts.hosts if facts else (), now=now)
        found.append(Entry(name, LEAF, files.cert, condition, facts))
    return tuple(found)


def _facts(files: KeyFiles, now: datetime) -> Facts | None:
    try:
        return describe(files.read().cert_pem, now=now)
    except SandboxError:
        return None  # the condition says why
