"""Supervises `kubectl port-forward`s, each of which is started again whenever its connection is lost.

They are kubectl's, because the Python client's own forward reads as fast as the cluster sends, however slow its reader
is, and waits with select(), which ends at 1024 open files. A forward is bound to one pod; after the pod's end kubectl
ends too or hangs, and its successor finds the next pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.edge.relay.relay import ANY, Forwarded, Upstream
from sandbox.errors import SandboxError
from sandbox.system import process

log = logging.getLogger(__name__)

LONGEST_LINE = 300
_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_ORDINARY = re.compile(r"Forwarding from |Handling connection for ")


@dataclass(frozen=True)
class Pace:
    """Times in seconds: the shortest and longest pause between attempts, how long clients wait, how often to check."""

    first: float = 0.2
    longest: float = 2.0
    patience: float = 20.0
    check: float = 10.0
    answer: float = 5.0


class Forward:
    """One port-forward and the task that keeps it alive."""

    def __init__(self, upstream: Forwarded, pace: Pace) -> None:
        self._upstream = upstream
        self._pace = pace
        self._port: int | None = None
        self._ready = asyncio.Event()
        self._doubt = asyncio.Event()
        self._broken = False
        self._complains = False
        self._keeper = asyncio.create_task(self._keep())

    async def address(self) -> tuple[str, int]:
        """Return its address; waits while the forward is restarted. Raises TimeoutError."""
        async with asyncio.timeout(self._pace.patience):
            while self._port is None:
                await self._ready.wait()
        return "127.0.0.1", self._port

    async def is_sound(self) -> bool:
        """Tell whether it leads to a server; if it does not, it is restarted."""
        port = self._port
        if port is None:
            return False
        if await self._answers(port):
            return True
        if self._port == port:
            log.warning("%s does not answer", self._upstream.target)
            self._broken = True
            self._lose()
            self._doubt.set()
        return False

    async def stop(self) -> None:
        """End it."""
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper

    async def _keep(self) -> None:
        pause = self._pace.first
        while True:
            if not Path(self._upstream.kubeconfig).exists():  # the cluster is still being made
                await asyncio.sleep(self._pace.first)
                continue
            try:
                if await self._attempt():
                    pause = self._pace.first
            except (SandboxError, OSError) as error:
                log.warning("%s: %s", self._upstream.target, error)
            finally:
                self._lose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._pace.longest)

    def _lose(self) -> None:
        self._port = None
        self._ready.clear()

    async def _attempt(self) -> bool:
        """Run one kubectl until it ends or is found dead; returns whether it ever worked."""
        self._broken = self._complains = False
        async with process.attend(_argv(self._upstream)) as lines:
            reading = asyncio.create_task(self._read(lines))
            try:
                return await self._watch(reading)
            finally:
                reading.cancel()

    async def _watch(self, reading: asyncio.Task[None]) -> bool:
        proven = False
        while not reading.done() and not self._broken:
            waiting = asyncio.create_task(self._doubt.wait())
            try:
                await asyncio.wait({reading, waiting}, timeout=self._pace.check, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            self._doubt.clear()
            if self._port is not None and not reading.done():
                proven = await self.is_sound() or proven
        return proven

    async def _read(self, lines: asyncio.StreamReader) -> None:
        while line := (await lines.readline()).decode(errors="replace").strip():
            ready = _READY.match(line)
            if ready:
                log.info("%s is reached", self._upstream.target)
                self._port = int(ready[1])
                self._ready.set()
            elif not _ORDINARY.match(line):
                log.warning("kubectl: %s", line[:LONGEST_LINE])
                self._complains = True
                self._doubt.set()

    async def _answers(self, port: int) -> bool:
        """Tell whether there is a server at the other end.

        A server of unknown protocol is not tested, since some lock out clients that say nothing: kubectl reports its
        end.
        """
        if self._upstream.speaks == ANY:
            return not self._complains
        return await (self._asks(port) if self._upstream.speaks == "http" else self._shakes_hands(port))

    async def _asks(self, port: int) -> bool:
        """Tell whether it answers a request, with whatever status."""
        writer = None
        try:
            async with asyncio.timeout(self._pace.answer):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HEAD / HTTP/1.0\r\n\r\n")
                return bool(await reader.read(1))
        except OSError:
            return False
        finally:
            if writer:
                writer.transport.abort()

    async def _shakes_hands(self, port: int) -> bool:
        """Tell whether it answers a TLS handshake, with whatever certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(self._pace.answer):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except ssl.SSLError:
            return True  # an alert is an answer, too
        except OSError:
            return False
        writer.transport.abort()
        return True


class Forwards:
    """The port-forwards that the routes need."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._forwards: dict[Forwarded, Forward] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, upstreams: Iterable[Upstream]) -> None:
        """Start those that are missing and end those that are not needed."""
        wanted = {each for each in upstreams if isinstance(each, Forwarded)}
        for gone in self._forwards.keys() - wanted:
            ending = asyncio.create_task(self._forwards.pop(gone).stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        for new in wanted - self._forwards.keys():
            self._forwards[new] = Forward(new, self._pace)

    async def address(self, upstream: Forwarded) -> tuple[str, int]:
        """Return the address of a forward. Raises TimeoutError when it cannot be started, OSError when it is gone."""
        forward = self._forwards.get(upstream)
        if forward is None:
            raise ConnectionAbortedError("the route has gone")
        return await forward.address()

    async def is_sound(self, upstream: Forwarded) -> bool:
        """Tell whether a forward leads to a server; if it does not, it is restarted."""
        forward = self._forwards.get(upstream)
        return forward is not None and await forward.is_sound()

    async def stop(self) -> None:
        """End all of them."""
        self.follow(())
        await asyncio.gather(*self._ending)


def _argv(upstream: Forwarded) -> Sequence[str]:
    # Even if we are killed, kubectl must not stay behind (util-linux; elsewhere it ends at its next line of output).
    leash = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    return [
        *leash,
        upstream.kubectl,
        f"--kubeconfig={upstream.kubeconfig}",
        f"--namespace={upstream.namespace}",
        "port-forward",
        "--address=127.0.0.1",
        upstream.target,
        f":{upstream.port}",
    ]
