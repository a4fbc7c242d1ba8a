"""Image references, `host[:port]/path[:tag][@digest]`, by the grammar of distribution's `reference` package."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sandbox.errors import UsageError
from sandbox.oci import digest as digests

DOCKER_HUB, DOCKER_HUB_API = "docker.io", "registry-1.docker.io"  # its name in images, and its registry's host
DEFAULT_TAG = "latest"
LONGEST_PATH = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True)
class Reference:
    """One image in one registry, as `parse` reads it: `host` is `docker.io` where none was written."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return f"{self.host}/{self._with_suffix(self.path)}"

    @property
    def familiar(self) -> str:
        return self._with_suffix(self.familiar_path) if self.host == DOCKER_HUB else str(self)

    @property
    def familiar_path(self) -> str:
        if self.host == DOCKER_HUB and self.path.startswith("library/") and self.path.count("/") == 1:
            return self.path.removeprefix("library/")
        return self.path

    @property
    def name(self) -> str:
        return self.digest or self.tag or DEFAULT_TAG

    def with_default_tag(self) -> Reference:
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def _with_suffix(self, path: str) -> str:
        return path + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Read a reference as Docker does: `busybox` is `docker.io/library/busybox`. Raises UsageError."""
    rest, at, digest = text.partition("@")
    colon = rest.rfind(":")
    name, tag = (rest[:colon], rest[colon + 1 :]) if colon > rest.rfind("/") else (rest, None)
    # The first component is a host if it has a dot, a colon or an upper-case letter.
    host, slash, path = name.partition("/")
    if not (slash and (set(host) & set(".:") or host == "localhost" or host != host.lower())):
        host, path = DOCKER_HUB, name
    if host == "index.docker.io":
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    reason = ""
    if at and not digests.is_digest(digest):
        reason = f"{digest!r} is not a digest"
    elif tag is not None and not _TAG.fullmatch(tag):
        reason = f"{tag!r} is not a tag of at most 128 letters, digits, '_', '.' and '-'"
    elif _IDENTIFIER.fullmatch(text):
        reason = "64 hexadecimal digits are an image id, not a name"
    elif not _HOST.fullmatch(host):
        reason = f"{host!r} is not a registry's host"
    elif not _PATH.fullmatch(path) or len(path) > LONGEST_PATH:
        reason = f"{path!r} is not a repository: lowercase letters and digits, at most {LONGEST_PATH} signs"
    if reason:
        fix = "write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST] without a scheme, such as ghcr.io/team/app:1.2"
        raise UsageError(f"{text!r} is not an image reference", details=reason, fix=fix)
    return Reference(host, path, tag, digest or None)


def of_text(text: str) -> Reference | None:
    try:
        return parse(text)
    except UsageError:
        return None


@dataclass(frozen=True)
class Target:
    """A repository and the tag the image gets in it; an image that was named by digest alone gets no tag."""

    repository: str
    tag: str | None
    digest: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"


def target_of(reference: Reference) -> Target:
    full = reference.with_default_tag()
    return Target(full.familiar_path, full.tag, None if full.tag else full.digest)


def parse_target(text: str) -> Target:
    """Read `repository[:tag]`. Raises UsageError when there is a registry host or a digest in it."""
    reference = parse(text)
    if reference.host != DOCKER_HUB or reference.digest:
        raise UsageError(
            f"{text!r} must not name a registry or a digest: it is a place in the sandbox's registry",
            fix=f"write {reference.familiar_path}:{reference.tag or DEFAULT_TAG}",
        )
    return target_of(reference)
