"""What a sandbox is started and stopped by: all that it is, without what `up` brings in from the user's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context, machine_plan
from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Bind, ContainerSpec, Engine
from sandbox.errors import UsageError
from sandbox.names import REGISTRY_PORT
from sandbox.plan import build as plan_build
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program


@pytest.mark.parametrize("provider", ["kind", "minikube"])
def test_unreadable_file_removes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str) -> None:
    make_program(tmp_path / provider, "")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def steps(spec: Spec) -> Any:
        resolved = ResolvedSpec.of(spec, registry=5001, https=(443, 8443))
        return (
            plan_build.build(resolved, context.home(), FakeEngine(), OwnImages("upstream", UPSTREAM), environ={}),
            None,
            None,
        )

    monkeypatch.setattr(machine_plan, "steps", steps)
    credentials = ({"kind": "docker"},) if provider == "minikube" else ()
    addons = ("registry-creds",) if provider == "minikube" else ("metrics-server", "/gone")
    spec = Spec.model_validate({"cluster": {"provider": provider}, "addons": addons, "credentials": credentials})
    rests = {one.name for one in machine_plan.without_files(spec)}
    assert not rests & {"spec", "push", "apply", "addons", "minikube-disused", "minikube-addons", "credentials"}
    assert {"cluster", "registry", "wiring", "ingress", "https"} <= rests


def test_registry_whose_port_is_only_held_does_not_run(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    names, spec = context.home().sandbox("shop"), Spec(name="shop")
    engine.create_network(names.network, names.labels)

    def start(name: str, **more: Any) -> None:
        image = next(iter(engine.images))
        engine.run(
            ContainerSpec(
                name=name, image=image, command=("serve",), labels=names.labels, network=names.network, **more
            )
        )

    start(names.registry, publish={REGISTRY_PORT: (Bind("127.0.0.1", 5001),)}, forwarded=False)
    start(names.registry_holder)
    with pytest.raises(UsageError, match="does not run"):
        machine_plan.registry_url(spec)
    start(names.registry_frontend)
    assert machine_plan.registry_url(spec) == "http://localhost:5001"
    engine.boxes.pop(names.registry_holder)  # as where the engine publishes the port
    every = {name: engine.container(name) for name in engine.boxes}
    server = every[names.registry_frontend]
    assert server
    frozen = {**every, names.registry_frontend: replace(server, running=False, paused=True)}
    monkeypatch.setattr(engine, "container", frozen.get)
    with pytest.raises(UsageError, match="does not run"):
        machine_plan.registry_url(spec)
