"""Real registry servers of tests, on a free port each, until they listen or answer."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.system.wait import wait_until
from tests.support.ports import free_port

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}/storage"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def serving(program: Path, folder: Path, more: str = "", *, config: str = CONFIG) -> Iterator[str]:
    """The host and port of an empty registry while it is entered; `more` is added to its settings, as it is."""
    host = f"127.0.0.1:{(port := free_port())}"
    settings = folder / "registry.yml"
    settings.write_text(config.format(folder=folder, port=port) + more)
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", settings], stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: _deaf(port), what=program.name, timeout=20)
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _deaf(port: int) -> str | None:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError as error:
        return str(error)
    return None


def silence(client: Client) -> str | None:
    """Return why the client's registry does not answer yet, or None; for `wait_until`."""
    try:
        client.ping()
    except RegistryError as error:
        return str(error)
    return None
