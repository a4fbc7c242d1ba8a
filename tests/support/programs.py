"""Programs that play the part of others."""

from __future__ import annotations

from pathlib import Path


def make_program(file: Path, script: str) -> Path:
    """Write a program, for the shell unless the script names its interpreter; return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file
