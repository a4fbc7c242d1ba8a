"""`sandbox status` of what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.views.overview import Network
from sandbox.app.views.sandbox_status import SandboxStatus, StepState
from sandbox.cli import status
from sandbox.cli.down import down
from sandbox.cli.start import stop
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.plan import saved_spec
from tests.support import in_process


def state(spec: str, cluster: str) -> SandboxStatus:
    states = {"images": "ready", "spec": spec, "certificates": "ready", "cluster": cluster, "proxy": "unseen"}
    network = Network(open=False, urls=(), without_certificate=(), warning="")
    return SandboxStatus("demo", [StepState(name, name, state, "") for name, state in states.items()], network, ())


@pytest.mark.parametrize(("spec", "cluster", "exists"), [("absent", "absent", False), ("ready", "absent", True)])
def test_certificates_alone_are_no_sandbox(spec: str, cluster: str, exists: bool) -> None:
    """`down` keeps them."""
    assert state(spec, cluster).exists is exists


@pytest.mark.usefixtures("isolated_home")
def test_absence_says_what_to_type() -> None:
    assert status._absence("shop", called=False, given=False) == "'shop' is not up; create it with: sandbox up"
    said = status._absence("shopp", called=True, given=False)
    assert said == "there is no sandbox 'shopp'; list all with: sandbox list; create one with: sandbox up"


@pytest.mark.usefixtures("isolated_home")
def test_wrong_folder_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` in a folder without sandbox.yaml, while a sandbox of another folder exists → that one's command."""
    monkeypatch.chdir(tmp_path)
    spec = context.home().sandbox("shop").spec
    spec.parent.mkdir(parents=True)
    spec.write_text("{}")
    assert "did you mean: sandbox status shop?" in status._absence("sandbox", called=False, given=False)
    own = context.home().sandbox("zoo")
    own.spec.parent.mkdir(parents=True)
    own.spec.write_text("{}")
    with saved_spec.coming_from(own, Origin.of(tmp_path / "sandbox.yaml")):
        assert "did you mean: sandbox status zoo?" in status._absence("sandbox", called=False, given=False), (
            "its spec is gone"
        )
    in_process.quiet(monkeypatch)
    monkeypatch.setattr(Sandbox, "down", lambda *_, **__: False)
    monkeypatch.setattr(Sandbox, "stop", lambda *_, **__: False)
    assert "did you mean: sandbox down zoo?" in in_process.run(down).output
    with pytest.raises(UsageError) as refused:
        in_process.run(stop)
    assert refused.value.fix.startswith("did you mean 'zoo'?")
    (tmp_path / "sandbox.yaml").write_text("name: sandbox\n")
    assert "did you mean" not in status._absence("sandbox", called=False, given=False)
