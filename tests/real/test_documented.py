"""Every command that a page shows, run in its order in one project; `scripts/docs --check` runs this."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.real import machine
from tests.real.machine import CommandLine
from tests.support.documented import RUN

pytestmark = [pytest.mark.real, pytest.mark.nightly]

DOCKERFILE = """\
FROM sandbox.dev/busybox
COPY index.html /site/
EXPOSE 8080
CMD ["busybox", "httpd", "-f", "-p", "8080", "-h", "/site"]
"""


def service(name: str, namespace: str, protocol: str, port: int) -> Iterator[dict[str, object]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    ports = [{"port": port, "targetPort": 8080, "protocol": protocol}]
    spec = {"selector": {"app": name}, "ports": ports}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    containers = [{"name": name, "image": "demo/app:dev"}]
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    machine.engine()
    folder = tmp_path_factory.mktemp("documented") / "demo"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "index.html").write_text("documented\n", encoding="utf-8")
    # Pages name no sandbox where there is one only; others on this machine are of another state folder.
    env = {"KUBECONFIG": str(folder.parent / "kubeconfig"), "XDG_STATE_HOME": str(folder.parent / "state")}
    command = CommandLine(env, folder)
    try:
        yield command
    finally:
        command("down", "--purge", status=None)


def prepare(folder: Path) -> None:
    """Give what `init` wrote the Services that pages name, and ports that are free where it chose none itself."""
    objects = [*service("db", "shop", "TCP", 5432), *service("dns", "infra", "UDP", 53)]
    (folder / "k8s" / "services.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    spec = folder / "sandbox.yaml"
    text = spec.read_text(encoding="utf-8")
    wanted = {"registry": {"port": "auto"}, "edge": {"ports": ["auto"]}}
    open_ones = {key: value for key, value in wanted.items() if key not in yaml.safe_load(text)}
    spec.write_text(f"{text}\n{yaml.safe_dump(open_ones) if open_ones else ''}", encoding="utf-8")


@pytest.mark.timeout(900)
def test_documented_commands_run_in_their_order(command: CommandLine) -> None:
    for line, status in RUN:
        command(*shlex.split(line)[1:], status=status)
        if line == "sandbox init":
            prepare(command.folder)
