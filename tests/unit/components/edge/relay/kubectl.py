"""A stand-in for `kubectl port-forward`: forwards a port of its own to one of this machine, and says so alike.

`kubectl ... port-forward --address=127.0.0.1 TARGET :PORT`; PORT is where it forwards to. While the file named by
--kubeconfig says `gone` it fails as kubectl does without a pod; `hang` makes it accept and lead nowhere.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from pathlib import Path


async def pump(source: StreamReader, target: StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
    target.write_eof()


async def main(kubeconfig: Path, port: int) -> None:
    mood = kubeconfig.read_text()
    if mood == "gone":
        sys.exit("error: timed out waiting for the condition")

    async def forward(reader: StreamReader, writer: StreamWriter) -> None:
        print("Handling connection for", port, flush=True)
        if mood == "hang":
            await reader.read()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)
        for one in (writer, far_writer):
            one.close()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    print(f"Forwarding from 127.0.0.1:{server.sockets[0].getsockname()[1]} -> {port}", flush=True)
    while kubeconfig.read_text() == mood:
        await asyncio.sleep(0.02)
    print("error: lost connection to pod", flush=True)


asyncio.run(main(Path(sys.argv[1].partition("=")[2]), int(sys.argv[-1].lstrip(":"))))
