"""Git repositories for tests, made in folders of their own and free of the user's settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


def made(folder: Path, files: Mapping[str, str]) -> Path:
    """A repository in the new folder, with one commit on its branch `main`."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    committed(folder, files)
    return folder


def committed(folder: Path, files: Mapping[str, str]) -> str:
    """Write these files and commit all there is; the commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "change")
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *words: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    argv = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
    return subprocess.run(argv, cwd=folder, check=True, env=env, capture_output=True, text=True).stdout
