"""The edge as a process, where no container can reach the ingress; `Relay` is all that others use of it."""

from sandbox.components.edge.relay.relay import Relay

__all__ = ["Relay"]
