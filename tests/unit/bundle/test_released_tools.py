"""Official releases of kind, kubectl and helm, fetched from a server of this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle import released_tools
from sandbox.bundle.recipe import native
from sandbox.bundle.released_tools import MIRROR, Release, releases
from sandbox.bundle.store import Store
from tests.support.http_server import Handler, answering
from tests.support.programs import make_program

PROGRAM = b"#!/bin/sh\necho v0.33.0\n"


def archive() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as members:
        member = tarfile.TarInfo(f"linux-{native().name}/helm")
        member.size = len(PROGRAM)
        members.addfile(member, io.BytesIO(PROGRAM))
    return content.getvalue()


ARCHIVE = archive()


class Mirror(Handler):
    def do_GET(self) -> None:
        self.reply(200, ARCHIVE if self.path.endswith(".tar.gz") else PROGRAM)


@pytest.fixture(autouse=True)
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A mirror that has the releases below a folder."""
    monkeypatch.setenv("no_proxy", "*")
    with answering(Mirror) as server:
        address = f"http://127.0.0.1:{server.server_port}/mirror"
        monkeypatch.setenv(MIRROR, address)
        yield address


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "bundle")


def release(name: str, content: bytes = PROGRAM) -> Release:
    return replace(releases()[name], sha256={native().name: hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize(("name", "content"), [("kind", PROGRAM), ("kubectl", PROGRAM), ("helm", ARCHIVE)])
def test_a_release_is_kept_as_a_program_and_found_again(
    programs: Path, store: Store, name: str, content: bytes
) -> None:
    program = released_tools.fetch(release(name, content), store)
    assert program.read_bytes() == PROGRAM
    assert program.stat().st_mode & 0o777 == 0o755
    assert released_tools.find(name, store) == program
    own = make_program(programs / name, "exit 0")
    assert released_tools.find(name, store) == own


def test_a_mirror_has_the_paths_of_the_official_servers(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert releases()["kubectl"].source == f"{mirror}/release/v1.36.4/bin/linux/{native().name}/kubectl"
    monkeypatch.delenv(MIRROR)
    assert releases()["kubectl"].source.startswith("https://dl.k8s.io/release/")
    assert all(known.sha256.keys() == {"amd64", "arm64"} for known in releases().values())
