"""One sandbox for all tests of this folder: they look at it, or leave it as they found it, the last ones stop it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.engine import Engine
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import Ran

NAME = "lasting"
DOMAIN = f"{NAME}.sandbox.localhost"
REGISTRY = f"registry.{DOMAIN}"


@pytest.fixture(scope="package")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="package")
def fresh(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Application, Ran]]:
    first, second, registry = machine.free_ports(9443, 9444, 5001)  # not 443, so that links and hosts name the port
    made = Application(NAME, tmp_path_factory.mktemp(NAME), registry, (first, second))
    addon = made.folder / "mine"
    addon.mkdir()
    (addon / "addon.yaml").write_text("title: a setting\n")
    (addon / "setting.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n")
    made.write(addons=["./mine"], registry={"port": registry, "tls": [REGISTRY]}, ingress={"gateway_api": True})
    try:
        yield made, made.command("up", "--progress", "json")
    finally:
        made.command("down", "--purge", status=None)


@pytest.fixture(scope="package")
def up(fresh: tuple[Application, Ran]) -> Application:
    return fresh[0]
