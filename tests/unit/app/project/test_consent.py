"""What the user agreed to is forgotten once no sandbox is up from it, also by two commands at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app.agreement import Refusal, Tenancy
from sandbox.app.project import consent
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.names import Home


def test_namespace_of_a_cluster_is_taken_by_users_only() -> None:
    with pytest.raises(UsageError, match="no user has agreed yet to a sandbox in mine of team") as caught:
        Refusal().tenancy(Tenancy("demo", "team", "https://team.example", "mine", None))
    assert (caught.value.id, caught.value.details) == ("consent", "nothing of this sandbox is there yet")


def test_two_sweeps_at_once_do_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, read = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig"), Path.read_text
    for revision in ("1" * 40, "2" * 40):
        consent.note(home, Origin(kind="git", source="https://example.com/a", revision=revision))

    def late(file: Path, **how: str) -> str:
        text = read(file, **how)
        file.unlink()  # by the other command
        return text

    monkeypatch.setattr(Path, "read_text", late)
    consent.sweep(home)
    assert not home.agreed.exists()
