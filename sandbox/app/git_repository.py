"""A git repository as a source: its address without the account in it, and a copy of its present content."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

from sandbox.config.schema.values import is_loopback
from sandbox.errors import UsageError
from sandbox.system import process
from sandbox.system.process import ToolFailed

TIMEOUT = 600.0
_URL = re.compile(r"(https?|ssh|git|file)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+")
# These protocols are not protected against changes on the way.
UNPROTECTED = ("http", "git")
# For git's `credential.helper` (gitcredentials(7)); the account is in the environment, which other users cannot read.
_HELPER = (
    '!f() { test "$1" = get && '
    'printf "username=%s\\npassword=%s\\n" "$SANDBOX_GIT_USERNAME" "$SANDBOX_GIT_PASSWORD"; }; f'
)


@dataclass(frozen=True)
class Repository:
    """The repository that `URL#BRANCH:FOLDER` names; its account is never shown, stored or passed as an argument."""

    url: str
    branch: str = ""
    below: str = ""
    account: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, source: str) -> Self | None:
        """Return the repository that `source` names, None if it is not the address of one. Raises UsageError."""
        url, _, fragment = source.partition("#")
        if not _URL.fullmatch(url) or not fragment.isprintable():
            return None
        branch, _, below = fragment.partition(":")  # in which blanks are as good as any
        if branch.startswith("-") or ".." in Path(below).parts or Path(below).is_absolute():
            raise UsageError(f"'{fragment}' is not a branch and folder of a repository", fix="write #BRANCH:FOLDER")
        found = cls(url, branch, below)
        return found._without_account() if "://" in url else found

    def _without_account(self) -> Self:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError("the address of the repository is not valid", fix="https://HOST/PATH.git") from error
        if parts.scheme in UNPROTECTED and not is_loopback(host):
            raise UsageError(
                f"{parts.scheme}://{host}: fetched unencrypted, so others could change what runs here",
                fix="use https:// or ssh://, or clone it and name the folder",
            )
        login, at, address = parts.netloc.rpartition("@")
        if not at or parts.scheme == "file":
            return self
        name, _, password = login.partition(":")
        if parts.scheme == "ssh":  # the name is no secret, and ssh takes no password from a URL
            return replace(self, url=urlunsplit(parts._replace(netloc=f"{name}@{address}")))
        account = unquote(name), unquote(password)
        if not all(part.isprintable() for part in account):
            raise UsageError("the account in the repository's address has control characters in it")
        return replace(self, url=urlunsplit(parts._replace(netloc=address)), account=account)

    @property
    def name(self) -> str:
        """Return the last part of its path."""
        return re.split(r"[/:]", self.url.rstrip("/"))[-1].removesuffix(".git") or "repository"

    def __str__(self) -> str:
        below = f":{self.below}" if self.below else ""
        return f"{self.url}#{self.branch}{below}" if self.branch or below else self.url

    def clone(self, into: Path) -> str:
        """Make a shallow copy of it; returns its commit. Raises UsageError."""
        chosen = ["--branch", self.branch] if self.branch else []
        env = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": self._protocols}
        if self.account:
            env |= {"SANDBOX_GIT_USERNAME": self.account[0], "SANDBOX_GIT_PASSWORD": self.account[1]}
        argv: list[str | Path] = ["git", *self._settings(), "clone", "--quiet", "--depth", "1"]
        argv += ["--no-recurse-submodules", *chosen, "--", self.url, into]
        try:
            process.run(argv, timeout=TIMEOUT, env=env)
            head = ["git", f"--git-dir={into / '.git'}", "rev-parse", "HEAD"]
            return process.run(head, timeout=TIMEOUT, merged=False).strip()
        except ToolFailed as error:
            raise UsageError(
                f"{self.url} cannot be cloned", details=error.details, fix="check the address and the branch"
            ) from error

    @property
    def _protocols(self) -> str:
        """Return the protocols that git may use, also after redirects and by rewritten URLs of its settings."""
        scheme = self.url.partition("://")[0]
        return ":".join(("https", "ssh", "file", *((*UNPROTECTED,) if scheme in UNPROTECTED else ())))

    def _settings(self) -> list[str]:
        if self.account is None:
            return []
        parts = urlsplit(self.url)
        place = f"credential.{parts.scheme}://{parts.netloc}.helper"
        # The empty one first: otherwise the user's own helpers would be asked before, and store the account.
        return ["-c", "credential.helper=", "-c", f"{place}=", "-c", f"{place}={_HELPER}"]
