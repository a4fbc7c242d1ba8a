"""An engine whose containers are processes of this machine, as far as the reading of its folders needs it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

FRAME = struct.Struct(">BxxxL")


@dataclass
class ProcessEngine:
    """Runs the entrypoint of a container with this user's rights; `configs` are what the containers were made with."""

    images: tuple[str, ...] = ("sandbox.dev/node",)
    local: bool = False
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    hosts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    _ends: dict[str, socket.socket] = field(default_factory=dict)

    def any_image(self, repository: str) -> str | None:
        return f"sha256:{repository}" if repository in self.images else None

    def shares_network(self) -> bool:
        return self.local

    def security_options(self, *, mounts: bool) -> list[str]:
        return ["no-new-privileges"] if mounts else []

    def make(self, name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        self.configs[name], self.hosts[name] = config, host

    @contextlib.contextmanager
    def attached(self, name: str, *, timeout: float) -> Iterator[socket.socket]:
        ours, self._ends[name] = socket.socketpair()
        ours.settimeout(timeout)
        with ours:
            yield ours

    def start(self, name: str) -> None:
        end = self._ends[name]
        process = subprocess.Popen(
            self.configs[name]["Entrypoint"],
            stdin=end.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.running[name] = process
        self.started.append(name)
        assert process.stdout and process.stderr
        lock = threading.Lock()
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            threading.Thread(target=_frames, args=(number, stream, end, lock), daemon=True).start()

    def remove_container(self, name: str) -> bool:
        if process := self.running.pop(name, None):
            process.kill()
            process.wait()
            self._ends.pop(name).close()
        return process is not None


def _frames(number: int, stream: IO[bytes], end: socket.socket, lock: threading.Lock) -> None:
    with stream, contextlib.suppress(OSError):
        while data := os.read(stream.fileno(), 10_000):
            with lock:
                end.sendall(FRAME.pack(number, len(data)) + data)
