"""What the build of a compose service (Compose Specification, build) uses besides its files, such as secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.init.compose.merge import keys, listed
from sandbox.init.project_folders import has

# Read elsewhere, or without an effect on what is built for this machine.
READ = {"args", "context", "dockerfile", "dockerfile_inline", "secrets", "ssh", "target"}
IDLE = {"cache_from", "cache_to", "labels", "no_cache", "provenance", "pull", "sbom", "tags"}


def more(
    build: Mapping[str, Any], secrets: Mapping[str, Mapping[str, Any]], folder: Path
) -> tuple[dict[str, Any], list[str]]:
    """Return further options for images.yaml, and the names of what is left out.

    `secrets` are the compose file's own, by name, and `folder` is where it is.
    """
    left_out = [f"build.{key}" for key in keys(build) - READ - IDLE]
    wanted = []
    for one in listed(build.get("secrets")):
        given = one if isinstance(one, Mapping) else {"source": one}
        name = str(given.get("source"))
        if source := _source(secrets.get(name) or {}, folder):
            wanted.append(f"id={given.get('target') or name},{source}")
        else:
            left_out.append(f"build.secrets.{name}")
    agents = [one for one in listed(build.get("ssh")) if isinstance(one, str) and "$" not in one]
    left_out += ["build.ssh"] if len(agents) < len(listed(build.get("ssh"))) else []
    found = {"secrets": wanted, "ssh": agents}
    return {key: values for key, values in found.items() if values}, left_out


def _source(defined: Mapping[str, Any], folder: Path) -> str:
    """Return where a secret comes from, as images.yaml has it; empty where it is not of the project or of the shell."""
    file, variable = str(defined.get("file") or ""), str(defined.get("environment") or "")
    if file and "," not in file and has(folder, file):
        return f"src={file}"
    return f"env={variable}" if variable.isidentifier() else ""
