"""What can be typed is known without what carries it out, so that help and completion are there at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import click
import pytest

from sandbox.cli import certs, certs_trust, push_images
from sandbox.cli.app import sandbox
from sandbox.components.certificates.export_formats import FORMATS
from sandbox.oci.compression import Compression
from sandbox.truststore.change import Kind
from tests.unit.cli.test_main import HEAVY

# Imports every command there is, and says what came along.
LOOK = """
import importlib, sys
from sandbox.cli.app import COMMANDS
for place in COMMANDS.values():
    importlib.import_module(f"sandbox.cli.{place.partition(':')[0]}")
print(*sys.modules)
"""


def test_no_command_imports_what_it_needs_only_when_it_is_called() -> None:
    argv = [sys.executable, "-c", LOOK]
    found = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert "sandbox.cli.up" in found
    assert not {*HEAVY, "sandbox.config", "sandbox.components", "sandbox.engine", "sandbox.system", "sandbox.app"} & {
        *found
    }


def helps(command: click.Command, parent: click.Context | None = None) -> Iterator[str]:
    """The help of a command and of all below it."""
    context = click.Context(command, info_name=command.name, parent=parent)
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for below in map(partial(command.get_command, context), command.list_commands(context)):
            assert below
            yield from helps(below, context)


def test_help_of_every_command_fits_80_columns() -> None:
    lines = [line for text in helps(sandbox) for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) > 500


# What a command imports before it works, and what is too heavy for it: libraries, and our parts that it does not need.
LIBRARIES = {"docker", "kubernetes", "asyncio", "multiprocessing", "xml.etree", "configparser"}
OURS = {
    "sandbox.doctor",
    "sandbox.snapshot",
    "sandbox.bundle.builder",
    "sandbox.bundle.bundle_load",
    "sandbox.dashboard",
}
RARE = {
    "sandbox.app.existing_clusters",
    "sandbox.components.cluster.existing",
    "sandbox.components.cluster.minikube",
    "sandbox.components.certificates.cert_manager",
    "sandbox.components.credentials.aws",
    "sandbox.components.registry.mirrors_step",
    "sandbox.plan.existing",
}
BEFORE_WORK = {
    "list": (
        "cli.status, cli.log, app.known_sandboxes",
        {*HEAVY, "yaml", "urllib3", "ssl", "http.client", "filelock"},
    ),
    "status": (
        "cli.status, cli.log, app.core, app.overview, plan.build, components.cluster.kind.provider",
        {"http.client", "urllib.request", "difflib", "filelock"}
        | {"sandbox.components.workloads.applying", "sandbox.engine.reach_probe", "sandbox.images.sources.image_build"},
    ),
    "up": (
        "cli.up, cli.log, cli.prompts, cli.summary, app.core, app.agreement, app.requirements, plan.build",
        {"sandbox.app.git_repository", "cryptography"},
    ),
    "push-images": (
        "cli.push_images, cli.log, app.core, images.image_push, images.sources.layer_helper",
        {
            "cryptography",
            "sandbox.bundle.recipe",
            "requests",
            "urllib3",
            "sandbox.plan.build",
            "sandbox.components.ingress",
        }
        | {"sandbox.components.certificates"},
    ),
}


@pytest.mark.parametrize("command", BEFORE_WORK)
def test_command_imports_nothing_that_it_does_not_need(command: str) -> None:
    modules, own = BEFORE_WORK[command]
    lines = [f"import sandbox.{one.strip()}" for one in ("cli.app", *modules.split(","))]
    code = "\n".join(["import sys", *lines, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    heavy = {*LIBRARIES, *OURS, *RARE, *own}
    assert [one for one in done.stdout.split() if not heavy.isdisjoint({one, *_above(one)})] == []


def _above(module: str) -> set[str]:
    """The packages that a module is in."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def test_choices_that_are_written_out_are_those_there_are() -> None:
    choices = (
        (certs.export, tuple(FORMATS)),
        (certs_trust.trust, tuple(one.value for one in Kind)),
        (push_images.push_images, tuple(one.value for one in Compression)),
    )
    for command, there in choices:
        assert any(tuple(getattr(one.type, "choices", ())) == there for one in command.params), command.name
