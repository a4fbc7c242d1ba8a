"""The edge as a process, where containers cannot reach the ingress; other packages use only `Relay`."""

from sandbox.components.edge.relay.relay import Relay

__all__ = ["Relay"]
