"""The images that the spec's manifest lists, present in the registry."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.errors import SandboxError
from sandbox.host.engine import Engine
from sandbox.registry.client import Client
from sandbox.registry.errors import RegistryError
from sandbox.registry.imagelist import Entry, FromBuild, FromDaemon
from sandbox.registry.manifest import INDEXES
from sandbox.registry.progress import Silent
from sandbox.registry.push import push
from sandbox.steps.step import State, Status, Work

EVERY = 0.5


@dataclass(frozen=True)
class PushStep:
    """Pushes what is missing or another image by now; the data is the registry volume's."""

    engine: Engine
    entries: tuple[Entry, ...]
    port: int
    name: str = "push"
    needs: tuple[str, ...] = ("registry",)

    @property
    def title(self) -> str:
        return f"{len(self.entries)} images in the registry"

    def check(self) -> Status:
        try:
            with Client(self._url) as client:
                missing = [str(entry.target) for entry in self.entries if not self._has(client, entry)]
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        return Status(State.ABSENT, f"missing: {', '.join(missing)}") if missing else Status(State.READY)

    def apply(self, work: Work) -> None:
        push(self.entries, self._url, self.engine, _Saying(work))

    def undo(self) -> bool:
        return False

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _has(self, client: Client, entry: Entry) -> bool:
        reference = entry.target.tag or entry.target.digest or ""
        document = client.manifest(entry.target.repository, reference)
        if document is None:
            return False
        image = self._local(entry)
        if image is None or document.media_type in INDEXES:
            return True
        # A classic engine names an image by its config, a containerd one by its manifest or index.
        return str(image["Id"]) in document.data.decode() or str(image["Id"]) == document.digest or _moved(image)

    def _local(self, entry: Entry) -> Mapping[str, Any] | None:
        match entry:
            case FromDaemon():
                return self.engine.inspect_image(entry.image)
            case FromBuild():
                return self.engine.inspect_image(str(entry.target))
            case _:
                return None


class _Saying(Silent):
    """Tells how much was sent, twice a second."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._sent = 0
        self._said = 0.0

    def building(self, target: str) -> None:
        self._work.say(f"building {target}")

    def sent(self, size: int) -> None:
        self._sent += size
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            self._work.say(f"{self._sent / 1e6:.0f} MB")

    def failed(self, target: str, error: SandboxError) -> None:
        self._work.say(f"{target}: {error.brief}")


def _moved(image: Mapping[str, Any]) -> bool:
    """Whether the engine keeps images in containerd, where an id does not tell what a push would send."""
    return "containerd" in str(image.get("GraphDriver") or {}) or "Descriptor" in image
