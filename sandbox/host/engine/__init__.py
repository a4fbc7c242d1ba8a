"""The only door to the Docker Engine: the few calls the sandbox makes, with values in and out and one kind of error."""

from __future__ import annotations

from sandbox.host.engine.connection import Engine
from sandbox.host.engine.trouble import EngineError
from sandbox.host.engine.values import Bind, Container, ContainerSpec, Network

__all__ = ["Bind", "Container", "ContainerSpec", "Engine", "EngineError", "Network"]
