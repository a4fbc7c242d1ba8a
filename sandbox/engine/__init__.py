"""The only door to the Docker Engine: the calls that the sandbox needs, on plain values, with one kind of error."""

from sandbox.engine.base import EngineError
from sandbox.engine.connection import Engine
from sandbox.engine.engine_values import Bind, Container, ContainerSpec, ListedContainer, Network, Placed

__all__ = ["Bind", "Container", "ContainerSpec", "Engine", "EngineError", "ListedContainer", "Network", "Placed"]
