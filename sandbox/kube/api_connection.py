"""What all Clusters of one kubeconfig share: the way to the API server, its kinds, and the answers of a command."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.kube import api_transport
from sandbox.kube.api_transport import Answer, Read, Transport, Unusable
from sandbox.system import interruption
from sandbox.system.kept_answers import KeptAnswers
from sandbox.system.wait import retry

_BUSY = 429
TRIES, PAUSE = 10, 1.0  # as client-go does; an API server asks for a second (Retry-After)

# The official client writes certificates to files that all threads share, and returns a file's name before it is
# written.
_loading = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind in the cluster: its name in paths, whether it is namespaced, and its verbs."""

    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    def may(self, *verbs: str) -> bool:
        """Return whether it supports all of these verbs; whether we may use them is another matter."""
        return self.verbs.issuperset(verbs)


class Connection:
    """One API server; `resources` are the kinds of each API group version."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.resources: dict[str, dict[str, Resource]] = {}
        self._kept = KeptAnswers[Answer]()

    def read(self, read: Read) -> Answer:
        """Return status and content of the answer to a GET request. Raises Unanswered."""
        path, accept = read
        return self._kept.answer(read, lambda: self.send("GET", path, {"Accept": accept}, None))

    def keeping(self) -> AbstractContextManager[None]:
        """Keep what is read in the block, which changes nothing."""
        return self._kept.keeping()

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        """Return status and content of the answer, after a while from a server that is busy. Raises Unanswered."""
        return retry(
            lambda: self.transport.request(method, path, headers, body),
            tries=TRIES,
            transient=lambda answer: not isinstance(answer, Exception) and answer[0] == _BUSY,
            wait=lambda _: interruption.pause(PAUSE),
        )


def of(kubeconfig: Path) -> Connection:
    """Return the connection by a kubeconfig, the same until that changes. Raises Unusable, OSError."""
    with _loading:
        return _of(kubeconfig, kubeconfig.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _of(kubeconfig: Path, changed: int) -> Connection:
    return Connection(api_transport.connect(kubeconfig))


@contextmanager
def keeping(kubeconfig: Path) -> Iterator[None]:
    """Keep what the API server of a kubeconfig answers for the block, which changes nothing."""
    try:
        connection = of(kubeconfig)
    except (Unusable, OSError):  # there is no cluster, or none that can be used
        yield
        return
    with connection.keeping():
        yield
