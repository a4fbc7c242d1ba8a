"""kind, kubectl and helm on this machine: the user's, an official release that was fetched, or the bundle's."""

import functools
import os
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.bundle.recipe import RECIPES, native, recipes
from sandbox.bundle.store import Store
from sandbox.config import yaml_text
from sandbox.errors import MissingTool
from sandbox.system import files, process
from sandbox.system.download import download

MIRROR = "SANDBOX_RELEASES"  # the variable for a mirror: the scheme, host and folder in place of the official ones


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


def kubectl(store: Store, *, purpose: str = "") -> Path:
    program = find("kubectl", store)
    if program is None:
        raise MissingTool(
            "kubectl is not installed",
            details=purpose,
            fix="install it: https://kubernetes.io/docs/tasks/tools/   (or `sandbox bundle build kubernetes`)",
        )
    return program


def can_fetch(name: str) -> bool:
    return sys.platform == "linux" and native().name in releases()[name].sha256


def fetch(release: Release, store: Store) -> Path:
    place, url = _place(release, store), release.source
    place.parent.mkdir(parents=True, exist_ok=True)
    archive = place.with_name(url.rpartition("/")[2] + ".download")
    content = download(url, archive, sha256=release.sha256[native().name])
    if url.endswith(".tar.gz"):
        with tarfile.open(archive) as members:
            member = members.extractfile(f"linux-{native().name}/{release.name}")
            content = member.read() if member else b""
    files.write_atomic(place, content, mode=0o755)
    archive.unlink()
    return place


def _place(release: Release, store: Store) -> Path:
    return store.root / "releases" / f"{release.name}-{release.version}" / release.name
