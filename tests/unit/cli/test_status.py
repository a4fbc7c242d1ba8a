"""`sandbox status` of what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.core import Part
from sandbox.cli import status


def parts(spec: str = "absent", cluster: str = "absent") -> tuple[Part, ...]:
    states = {"images": "ready", "spec": spec, "certificates": "ready", "cluster": cluster, "proxy": "unseen"}
    return tuple(Part(name, name, state, "") for name, state in states.items())


@pytest.mark.parametrize(("spec", "cluster", "exists"), [("absent", "absent", False), ("ready", "absent", True)])
def test_certificates_alone_are_no_sandbox(spec: str, cluster: str, exists: bool) -> None:
    """`down` keeps them."""
    assert status._exists(parts(spec, cluster)) is exists


@pytest.mark.usefixtures("home")
def test_absence_says_what_to_type() -> None:
    assert status._absence("shop", called=False) == "'shop' is not up; create it with: sandbox up"
    said = status._absence("shopp", called=True)
    assert said == "there is no sandbox 'shopp'; list all with: sandbox list; create one with: sandbox up"


@pytest.mark.usefixtures("home")
def test_wrong_folder_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` in a folder without sandbox.yaml, while a sandbox of another folder exists → that one's command."""
    monkeypatch.chdir(tmp_path)
    spec = context.home().sandbox("shop").spec
    spec.parent.mkdir(parents=True)
    spec.write_text("{}")
    assert "did you mean: sandbox status shop?" in status._absence("sandbox", called=False)
    (tmp_path / "sandbox.yaml").write_text("name: sandbox\n")
    assert "did you mean" not in status._absence("sandbox", called=False)
