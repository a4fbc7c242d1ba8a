"""What is collected of this machine while it changes."""

from __future__ import annotations

from pathlib import Path

from sandbox.engine import ContainerSpec
from sandbox.names import Home
from sandbox.support_bundle import machine_state
from tests.support.fakes import FakeContainer, FakeEngine


def test_container_that_goes_meanwhile_costs_no_other(tmp_path: Path) -> None:
    engine, home = FakeEngine("image:1"), Home(tmp_path, tmp_path, tmp_path / "config")
    engine.create_network("net", {})
    for name in ("one", "two"):
        labels = home.sandbox(name).labels
        spec = ContainerSpec(name=name, image="image:1", command=("x",), labels=labels, network="net")
        engine.add(FakeContainer(spec, "image:1", log=f"said by {name}"))

    collecting = machine_state.containers(engine, home)
    next(collecting)
    del engine.boxes["one"]
    found = dict(collecting)

    assert "No such container" in found["containers/one.log"]
    assert found["containers/two.log"] == "said by two"
