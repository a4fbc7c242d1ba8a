"""Finds the owner of the engine's objects by their labels; only the user's own are removed, replaced or used.

An engine may have several users, each with one or more state folders. A node of which no owner is recorded is the
user's whose state folder knows its sandbox.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sandbox.engine import Container, Engine, Network
from sandbox.errors import SandboxError
from sandbox.names import EDGE, LABEL, OWNER, Home, Names

# A file in a node that shows that it was made to the end and, as JSON, with what and by whom.
COMPLETE = PurePosixPath("/kind/sandbox-complete")


class NameTaken(SandboxError):
    """The name of a sandbox is taken by another user, or by an object of no sandbox."""

    id = "name-taken"


@dataclass(frozen=True)
class Owner:
    """A user of this machine and the state folder that knows their sandboxes."""

    user: str = field(compare=False)  # which may change
    uid: str
    folder: str

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Owner | None:
        user, uid, folder = (*labels.get(OWNER, "").split(":", 2), "", "")[:3]
        return cls(user, uid, folder) if folder else None

    def __str__(self) -> str:
        return f"user {self.user} (uid {self.uid}, state in {self.folder})"


def this(home: Home) -> Owner:
    owner = Owner.of(home.labels)
    assert owner is not None  # noqa: S101  # a state folder has a path
    return owner


def is_ours(owned: Mapping[str, str] | Container | Network | None, home: Home) -> bool:
    if owned is None:
        return False
    labels = owned if isinstance(owned, Mapping) else owned.labels
    if LABEL not in labels:
        return False
    owner = Owner.of(labels)
    if owner:
        return owner == this(home)
    return bool(labels[LABEL]) and knows(home.sandbox(labels[LABEL]))


def knows(names: Names) -> bool:
    """Tell whether the state folder knows the sandbox, as it does from the first `up` to `down --purge`."""
    return names.folder.exists() or names.keys.exists()


def whose(owned: Mapping[str, str] | Container | Network) -> str:
    """Return in words the owner of an object that is not this user's."""
    labels = owned if isinstance(owned, Mapping) else owned.labels
    if LABEL not in labels:
        return "not of a sandbox"
    owner = Owner.of(labels)
    return f"of {owner}" if owner else "of an unknown owner, and this user's state folder does not know its sandbox"


def containers(engine: Engine, home: Home, name: str | None = None) -> tuple[Container, ...]:
    label = LABEL if name is None else f"{LABEL}={name}"
    return tuple(container for container in engine.containers(label) if is_ours(container, home))


def require(engine: Engine, names: Names) -> None:
    """Raise NameTaken when another user of this engine has a sandbox of this name, or data of one."""
    node, network = engine.container(names.node), engine.network(names.network)
    registry = engine.container(names.registry)
    claims: dict[str, Mapping[str, str] | None] = {
        f"the network {names.network}": network.labels if network else None,
        f"the container {names.node}": _recorded(engine, names, network) if node else None,
        f"the container {names.registry}": registry.labels if registry else None,
        f"the volume {names.volume}": engine.volume_labels(names.volume),
    }
    for what, labels in claims.items():
        if labels is not None and LABEL in labels and not is_ours(labels, names.home):
            raise taken(names, what, labels)


def taken(names: Names, what: str, labels: Mapping[str, str]) -> NameTaken:
    """Return the error for a sandbox whose name another owner has, as shown by `what` with these labels."""
    owner = Owner.of(labels)
    return NameTaken(
        f"the name {names.name} is taken by a sandbox of {f'user {owner.user}' if owner else 'an unknown owner'}",
        details=f"{what} is {whose(labels)}; nothing was changed",
        fix="give this sandbox another name: `name: …` in sandbox.yaml, or the command's NAME; if that one is yours, "
        "use it with the state folder that it was made with (XDG_STATE_HOME)",
    )


def remove(engine: Engine, name: str, home: Home) -> bool:
    """Remove this owner's container of this name; returns whether there was one. Others' are left alone."""
    return is_ours(engine.container(name), home) and engine.remove_container(name)


def make_room(engine: Engine, name: str, home: Home) -> None:
    """Remove this owner's container of this name, because a new one is to be made. Raises NameTaken for another's."""
    if _exists(engine, name, home):
        engine.remove_container(name)


def stop(engine: Engine, name: str, home: Home) -> bool:
    """Stop this owner's container of this name; returns whether there is one. Raises NameTaken for another's."""
    exists = _exists(engine, name, home)
    if exists:
        engine.stop(name)
    return exists


def _exists(engine: Engine, name: str, home: Home) -> bool:
    container = engine.container(name)
    if container and not is_ours(container, home):
        kind = "that is not of a sandbox" if LABEL not in container.labels else "of another owner"
        raise NameTaken(
            f"the name {name} is taken by a container {kind}",
            details=f"it is {whose(container)}, and was left alone",
            fix=f"docker rename {name} another-name, or give the sandbox another `name`",
        )
    return container is not None


def remove_volume(engine: Engine, name: str, home: Home) -> bool:
    """Remove this owner's volume of this name with its data; returns whether there was one."""
    return is_ours(engine.volume_labels(name), home) and engine.remove_volume(name)


def edge(engine: Engine, home: Home) -> str:
    """Return the name of this owner's edge: the plain one, or one with the owner's digest where another user has that.

    An edge counts as there while only its network exists, too.
    """
    digest = hashlib.sha256(repr((this(home).uid, this(home).folder)).encode()).hexdigest()
    marked = f"{EDGE}-{digest[:6]}"
    if engine.container(marked):
        return marked
    if plain := engine.container(EDGE):
        return marked if LABEL in plain.labels and not is_ours(plain, home) else EDGE
    network = engine.network(EDGE)
    claimant = Owner.of(network.labels) if network else None
    return marked if claimant and claimant != this(home) else EDGE


def _recorded(engine: Engine, names: Names, network: Network | None) -> Mapping[str, str]:
    owner = None  # kind gives nodes no labels of owners
    with suppress(ValueError, AttributeError):
        owner = json.loads(engine.read_file(names.node, COMPLETE) or b"{}").get("owner")
    if not owner and network and LABEL in network.labels:
        return network.labels
    return {LABEL: names.name, **({OWNER: owner} if isinstance(owner, str) else {})}
