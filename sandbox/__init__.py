"""A local development sandbox: a real cluster with its own registry, certificates and HTTPS edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.app.core import Part, Sandbox
    from sandbox.config.schema import Spec
    from sandbox.errors import SandboxError

__version__ = "0.1.0"
__all__ = ["Part", "Sandbox", "SandboxError", "Spec", "__version__"]

_WHERE = {"Part": "app.core", "Sandbox": "app.core", "SandboxError": "errors", "Spec": "config.schema"}


def __getattr__(name: str) -> Any:
    """Return what programs import from here, found when they do (PEP 562): the command line must not wait for it."""
    if name not in _WHERE:
        raise AttributeError(f"module 'sandbox' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"sandbox.{_WHERE[name]}"), name)
