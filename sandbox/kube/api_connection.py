"""What all Clusters of one kubeconfig share: the way to the API server, the kinds it knows, and answers for a while."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.engine.base import Glancing, once
from sandbox.kube import api_transport
from sandbox.kube.api_transport import Answer, Read, Transport, Unanswered, Unusable
from sandbox.system import interruption
from sandbox.system.wait import retry

PATIENCE = 2.0  # seconds that a read waits for its turn among those that are asked ahead
_READS = "reads"
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
        """Tell whether it supports all of these verbs; whether we may use them is another matter."""
        return self.verbs.issuperset(verbs)


class Connection(Glancing):
    """One API server. In a glance each read is sent once; `resources` are the kinds of each API group version.

    In a glance, the server may answer with what it remembers, which is older by a moment: to ask etcd costs it more
    than all else that it does for the answer. Whether etcd answers, `/readyz` tells.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self.transport = transport
        self.resources: dict[str, dict[str, Resource]] = {}
        self._wanted = threading.Event()  # an answer of those that are asked ahead

    @once
    def read(self, read: Read) -> Answer:
        """Return status and content of the answer to a GET request. Raises Unanswered."""
        seen = self._seen
        if seen:
            seen.questions.setdefault(_READS, {})[read] = None
        coming: Future[Answer | None] | None = seen.gathered.get(_READS, {}).get(read) if seen else None
        self._wanted.set()
        with suppress(TimeoutError):
            if coming and (answer := coming.result(PATIENCE)):
                return answer
        path, accept = read
        headers = {"Accept": accept}
        if seen:
            answer = self.transport.request("GET", _remembered(read)[0], headers, None)
            if answer[0] != _BUSY:  # else it has just begun to remember
                return answer
        return self.send("GET", path, headers, None)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        """Return status and content of the answer, after a while from a server that is busy. Raises Unanswered."""
        return retry(
            lambda: self.transport.request(method, path, headers, body),
            tries=TRIES,
            transient=lambda found: not isinstance(found, Exception) and found[0] == _BUSY,
            wait=lambda _: interruption.pause(PAUSE),
        )

    def read_ahead(self, reads: Sequence[Read]) -> None:
        """Send all these in a thread, for the rest of the glance; what is not answered is sent when it is wanted.

        The answers wait in the connection until one is wanted: a thread that reads each as it comes keeps the one that
        makes the plan from the interpreter, and waits for it as often.
        """
        seen = self._seen
        if seen is None or not reads:
            return
        coming: dict[Read, Future[Answer | None]] = {read: Future() for read in reads}
        seen.gathered[_READS] = coming
        self._wanted = wanted = threading.Event()

        def work() -> None:
            try:
                with suppress(Unanswered):
                    answers = self.transport.answers(map(_remembered, reads), lambda: wanted.wait(PATIENCE))
                    # Answers first: read to their end, they leave a connection for the next request.
                    for answer, one in zip(answers, coming.values(), strict=False):
                        one.set_result(None if answer[0] == _BUSY else answer)
            finally:
                for one in coming.values():
                    if not one.done():
                        one.set_result(None)

        threading.Thread(target=work, name="ask the API server", daemon=True).start()

    def reads(self) -> Sequence[Read]:
        """Return what was read in this glance so far."""
        return tuple(self._seen.questions.get(_READS, ())) if self._seen else ()


def _remembered(read: Read) -> Read:
    """Return the read for which any version will do (API concepts, "Semantics for get and list").

    Those by pages stay: a server that answers from memory sends all pages at once.
    """
    path, accept = read
    _, mark, query = path.partition("?")
    return read if "limit=" in query else (f"{path}{'&' if mark else '?'}resourceVersion=0", accept)


def of(kubeconfig: Path) -> Connection:
    """Return the connection by a kubeconfig, the same until that changes. Raises Unusable, OSError."""
    with _loading:
        return _of(kubeconfig, kubeconfig.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _of(kubeconfig: Path, changed: int) -> Connection:
    """Return the connection as of `changed` (st_mtime_ns): a recreated cluster gets another."""
    return Connection(api_transport.connect(kubeconfig))


def find(kubeconfig: Path) -> Connection | None:
    """Return the connection by a kubeconfig, or None where there is none, or none that can be used."""
    try:
        return of(kubeconfig)
    except (Unusable, OSError):
        return None


@contextmanager
def glance(kubeconfig: Path) -> Iterator[None]:
    """Keep what the API server answers for the block, which changes nothing; see `Glancing`."""
    found = find(kubeconfig)
    with found.glance() if found else nullcontext():
        yield
