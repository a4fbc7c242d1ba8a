"""A file of JSON with a key in it, read so that no error repeats what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.oci.credential import CredentialsUnusable


def read(path: Path, *, made_by: str) -> Mapping[str, Any]:
    """The object in the file. Raises CredentialsUnusable; `made_by` is the command that writes such a file."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise unusable(path, error.strerror or "", made_by=made_by) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise unusable(path, where, made_by=made_by) from None
    except ValueError:
        raise unusable(path, "it is not text", made_by=made_by) from None
    if not isinstance(content, dict):
        raise unusable(path, "it is not a JSON object", made_by=made_by)
    return content


def text(path: Path, content: Mapping[str, Any], *names: str, made_by: str) -> str:
    """The first text that is there under one of `names`. Raises CredentialsUnusable."""
    for name in names:
        if isinstance(content.get(name), str) and content[name]:
            return str(content[name])
    raise unusable(path, f"it has no {names[0]}", made_by=made_by)


def unusable(path: Path, reason: str, *, made_by: str) -> CredentialsUnusable:
    """The error for a file that is of no use."""
    return CredentialsUnusable(f"{path} cannot be used", details=reason, fix=f"{made_by} writes such a file")
