"""kind, kubectl and helm on this machine: the user's, an official release that was fetched, or the bundle's."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.bundle.architecture import native
from sandbox.bundle.recipe import RECIPES, recipes
from sandbox.bundle.store import Store
from sandbox.config import yaml_text
from sandbox.errors import SandboxError
from sandbox.sanitize import cause
from sandbox.system import process

MIRROR = "SANDBOX_RELEASES"  # the variable for a mirror: the scheme, host and folder in place of the official ones
TIMEOUT = 30.0  # seconds without an answer
MOST = 200 * 2**20  # bytes
BLOCK = 2**20


@dataclass(frozen=True)
class Release:
    """An official release of a program; `component` is the bundle's, which is built from the same sources."""

    name: str
    version: str
    url: str
    component: str
    megabytes: int
    sha256: Mapping[str, str]

    @property
    def source(self) -> str:
        """Return its address: the official one, or the same path below the mirror that the user has set."""
        url = self.url.format(architecture=native().name)
        mirror = os.environ.get(MIRROR, "").rstrip("/")
        return mirror + urlsplit(url).path if mirror else url


@functools.cache
def releases() -> Mapping[str, Release]:
    content = yaml_text.document((RECIPES / "releases.yaml").read_text(encoding="utf-8"))
    return {name: Release(name=name, **fields) for name, fields in content.items()}


def find(name: str, store: Store) -> Path | None:
    """Return the program on the PATH, else a release that was fetched, else the bundle's; None if there is none."""
    fetched = _place(releases()[name], store)
    component = releases()[name].component
    return process.which(name) or (fetched if fetched.exists() else store.tool(recipes()[component], component))


def can_fetch(name: str) -> bool:
    return sys.platform == "linux" and native().name in releases()[name].sha256


def fetch(release: Release, store: Store) -> Path:
    """Fetch a release into the user's cache, if its digest is right, and return the program. Raises SandboxError."""
    place, url = _place(release, store), release.source
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            download = Path(folder, "download")
            if (digest := _download(url, download)) != release.sha256[native().name]:
                raise SandboxError(
                    f"{url} is not {release.name} {release.version}",
                    details=f"its SHA-256 is {digest}, and has to be {release.sha256[native().name]}",
                    fix=f"install {release.name} yourself, or correct {MIRROR}",
                    id="release",
                )
            program = _unpacked(download, release) if url.endswith(".tar.gz") else download
            program.chmod(0o755)
            program.replace(place)
    except (OSError, ValueError, tarfile.TarError, urllib.error.URLError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is also the response
        raise SandboxError(
            f"{release.name} {release.version} cannot be fetched",
            details=f"{url}: {cause(error)}",
            fix=f"install {release.name} yourself; for a mirror, set {MIRROR} to its address",
            id="release",
        ) from error
    return place


def _place(release: Release, store: Store) -> Path:
    return store.root / "releases" / f"{release.name}-{release.version}" / release.name


def _download(url: str, file: Path) -> str:
    """Write what is at `url` to a file, and return its SHA-256. Raises OSError and ValueError."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is no address of the web")
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, file.open("wb") as output:  # noqa: S310
        while block := answer.read(BLOCK):
            size += len(block)
            if size > MOST:
                raise ValueError(f"more than {MOST} bytes")
            digest.update(block)
            output.write(block)
    return digest.hexdigest()


def _unpacked(archive: Path, release: Release) -> Path:
    """Return the program in an archive, written next to it."""
    with tarfile.open(archive) as members:
        content = members.extractfile(f"linux-{native().name}/{release.name}")
        if content is None:
            raise ValueError(f"no {release.name} in it")
        program = archive.with_name(release.name)
        program.write_bytes(content.read())
    return program
