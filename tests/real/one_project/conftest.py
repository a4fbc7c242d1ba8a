"""One project for all tests of this folder, in the order of its files: made by `init`, then with other files in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.real import machine
from tests.real.machine import CommandLine

NAME = "own-project"
# As the first process of a container the server would take no notice of SIGTERM, and end half a minute later.
DOCKERFILE = """\
FROM sandbox.dev/busybox
COPY index.html /site/
EXPOSE 8080
STOPSIGNAL SIGKILL
CMD ["busybox", "httpd", "-f", "-p", "8080", "-h", "/site"]
"""


@dataclass(frozen=True)
class Made:
    """The folder once `init` and `up` have been there; `said` is what `up` printed."""

    command: CommandLine
    said: str

    @property
    def folder(self) -> Path:
        return self.command.folder

    @property
    def names(self) -> Names:
        return context.home().sandbox(NAME)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    machine.engine()
    folder = tmp_path_factory.mktemp("project") / "Own Project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "index.html").write_text("my own page\n", encoding="utf-8")
    command = CommandLine({"KUBECONFIG": str(folder.parent / "kubeconfig")}, folder)
    command("init")
    try:
        yield Made(command, command("up").out)
    finally:
        command("down", "--purge", status=None)
