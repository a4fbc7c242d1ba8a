"""A Unix socket that receives a helper's blobs, each on a connection of its own, after a line with its digest."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.images.sources.tar_split import Unreadable
from sandbox.oci.digest import CHUNK

SOCKET = "blobs"
LONGEST_LINE = 200


@dataclass
class BlobSocket:
    """Passes each received blob to `take`, by its digest, in as many threads as there are processors."""

    server: socket.socket
    take: Callable[[str, Iterator[bytes]], None]
    _begun: list[Future[None]] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def at(cls, folder: Path, take: Callable[[str, Iterator[bytes]], None]) -> Iterator[None]:
        """Serve in `folder`, which only this user may enter, for the length of the block; then wait for every `take`.

        The other side may be any user. Raises Unreadable, and the errors of `take`.
        """
        with socket.socket(socket.AF_UNIX) as server, ThreadPoolExecutor(os.cpu_count()) as pool:
            place = folder / SOCKET
            try:
                server.bind(str(place))
                place.chmod(0o666)
            except OSError as error:  # a path that is too long, for one
                raise Unreadable("no socket can be made for the helper", details=f"{place}: {error}") from error
            server.listen()
            one = cls(server, take)
            accepting = threading.Thread(target=one._accept, args=(pool,))
            accepting.start()
            try:
                yield
            finally:
                server.shutdown(socket.SHUT_RDWR)  # this wakes the accepting thread
                accepting.join()
        for begun in one._begun:
            begun.result()

    def _accept(self, pool: ThreadPoolExecutor) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self._begun.append(pool.submit(self._receive, connection))

    def _receive(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", buffering=CHUNK) as file:
            digest = file.readline(LONGEST_LINE).decode("ascii", errors="replace").strip()
            self.take(digest, iter(lambda: file.read(CHUNK), b""))
