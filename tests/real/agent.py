"""An agent's side of `sandbox mcp`: the official client, and the project that it works on."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client


@dataclass(frozen=True)
class Answer:
    """What a tool returned; `failed` is true where it was an error."""

    text: str
    failed: bool


@dataclass(frozen=True)
class Agent:
    """Calls tools of one server."""

    client: Client

    async def call(self, tool: str, **arguments: Any) -> Answer:
        result = await self.client.call_tool(tool, arguments)
        return Answer("".join(getattr(part, "text", "") for part in result.content), bool(result.is_error))

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]


@asynccontextmanager
async def working(folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Agent]:
    """Serve the folder's sandbox, with `options` of `sandbox mcp`, for the length of the block."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "sandbox", "mcp", *options],
        cwd=folder,
        env={**os.environ, **(environ or {})},
    )
    async with Client(stdio_client(server)) as client:
        yield Agent(client)
