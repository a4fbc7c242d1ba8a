"""A cable to a server that can be cut in the middle of a body; for tests only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Cable:
    """Forwards a free port of 127.0.0.1 to `port`; each of `cuts` ends one connection after so many bytes."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._port = port
        self.cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Cable:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake who waits for the next connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.close()
                    raise
                threading.Thread(target=self._up, args=(near, far), daemon=True).start()
                threading.Thread(target=self._down, args=(near, far), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        with _closing(near, far), contextlib.suppress(OSError):
            while data := near.recv(1 << 14):
                far.sendall(data)
                passed += len(data)
                if self.cuts and passed >= self.cuts[0]:
                    self.cuts.pop(0)
                    return

    def _down(self, near: socket.socket, far: socket.socket) -> None:
        with _closing(near, far), contextlib.suppress(OSError):
            while data := far.recv(1 << 14):
                near.sendall(data)


@contextlib.contextmanager
def _closing(*ends: socket.socket) -> Iterator[None]:
    """End both directions of both sockets, so that anyone who waits for them hears of it."""
    try:
        yield
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
