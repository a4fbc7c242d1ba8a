"""A git repository as a source: its address, and a copy of its present content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sandbox.config.schema.values import is_loopback
from sandbox.errors import UsageError
from sandbox.system import process
from sandbox.system.process import ToolFailed

TIMEOUT = 600.0
_URL = re.compile(r"(https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+")
# These protocols are not protected against changes on the way.
UNPROTECTED = ("http", "git")


@dataclass(frozen=True)
class Repository:
    """The repository that `URL#BRANCH:FOLDER` names."""

    url: str
    branch: str = ""
    below: str = ""

    @classmethod
    def parse(cls, source: str) -> Self | None:
        """Return the repository that `source` names, None if it is not the address of one. Raises UsageError."""
        url, _, fragment = source.partition("#")
        if not _URL.fullmatch(url) or not fragment.isprintable():
            return None
        if "://" in url:
            _require_safe(url)
        branch, _, below = fragment.partition(":")  # in which blanks are as good as any
        if branch.startswith("-") or ".." in Path(below).parts or Path(below).is_absolute():
            raise UsageError(f"'{fragment}' is not a branch and folder of a repository", fix="write #BRANCH:FOLDER")
        return cls(url, branch, below)

    @property
    def name(self) -> str:
        return re.split(r"[/:]", self.url.rstrip("/"))[-1].removesuffix(".git") or "repository"

    def __str__(self) -> str:
        below = f":{self.below}" if self.below else ""
        return f"{self.url}#{self.branch}{below}" if self.branch or below else self.url

    def clone(self, into: Path) -> str:
        scheme = self.url.partition("://")[0]
        # What git may use also after redirects and by rewritten URLs of its settings.
        protocols = ("https", "ssh", "file", *(UNPROTECTED if scheme in UNPROTECTED else ()))
        env = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(protocols)}
        argv: list[str | Path] = ["git", "clone", "--quiet", "--depth", "1", "--no-recurse-submodules"]
        argv += [*(["--branch", self.branch] if self.branch else []), "--", self.url, into]
        try:
            process.run(argv, timeout=TIMEOUT, env=env)
            head = ["git", f"--git-dir={into / '.git'}", "rev-parse", "HEAD"]
            return process.run(head, timeout=TIMEOUT, merged=False).strip()
        except ToolFailed as error:
            raise UsageError(
                f"{self.url} cannot be cloned", details=error.details, fix="check the address and the branch"
            ) from error


def _require_safe(url: str) -> None:
    """Refuse an address that is fetched unencrypted, and an account in one, which the shell's history keeps."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("the address of the repository is not valid", fix="https://HOST/PATH.git") from error
    if parts.scheme in UNPROTECTED and not is_loopback(host):
        raise UsageError(
            f"{parts.scheme}://{host}: fetched unencrypted, so others could change what runs here",
            fix="use https:// or ssh://, or clone it and name the folder",
        )
    account, at, _ = parts.netloc.rpartition("@")
    if at and (":" in account or parts.scheme != "ssh") and parts.scheme != "file":  # ssh needs a name
        raise UsageError(
            f"the address of a repository at {host} has an account in it",
            fix="leave it out and have git ask a credential helper (git help credentials), or clone the repository "
            "yourself and name the folder",
        )
