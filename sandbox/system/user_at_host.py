"""Who works here, as others who share something with us would name him."""

from __future__ import annotations

import getpass
import socket


def account() -> str:
    """USER@HOST; for people to read, and proof of nothing."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an id without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
