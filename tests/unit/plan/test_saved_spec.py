"""The spec that is kept of a sandbox: what was brought up comes back as it was, and no other user can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.workloads import charts_step
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan.saved_spec import RememberedStep, load, save
from sandbox.step import State
from tests.support.fakes import NoWork, applied

PROXY = {"proxy": {"http": "http://me:secret@proxy.example:3128"}}


def test_spec_is_read_back_and_removed_with_the_sandbox(names: Names) -> None:
    spec = ResolvedSpec.model_validate(
        {"name": "demo", "registry": {"port": 5005}, "network": PROXY, "apply": (Path("/home/k8s"),)}
    )
    step = RememberedStep(names, spec)
    assert (step.check().state, load(names)) == (State.ABSENT, None)
    step.apply(NoWork())
    assert (step.check().state, load(names)) == (State.READY, spec)
    assert names.spec.stat().st_mode & 0o777 == 0o600
    names.spec.with_name(f".{names.spec.name}.abcdefgh.tmp").touch()  # of a command that was killed
    for left in (names.origin, names.engine):  # by the last check and command
        left.touch()
    charts_step.note(names)
    step.undo()
    assert not names.folder.exists() and not names.charts.exists()


def test_changed_keys_are_named(names: Names) -> None:
    RememberedStep(names, ResolvedSpec(name="demo")).apply(NoWork())
    changed = ResolvedSpec.model_validate(
        {"name": "demo", "domain": "other.example.org", "addons": ({"addon": "metrics-server"},)}
    )
    found = RememberedStep(names, changed).check()
    assert (found.state, found.detail) == (State.DRIFTED, "other domain, base_domain, addons")


def test_unreadable_spec_is_rewritten_by_up_refused_by_others(names: Names) -> None:
    step = RememberedStep(names, ResolvedSpec(name="demo"))
    step.apply(NoWork())
    names.spec.write_text("{")
    assert step.check().state is State.DRIFTED
    with pytest.raises(SandboxError, match="cannot be read") as caught:
        load(names)
    assert "sandbox up -f FILE" in caught.value.fix
    assert applied(step).state is State.READY


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"registry": {"port": "auto"}}, "registry.port "),
        ({"edge": {"tcp": [{"port": "auto", "to": "shop/db:5432"}]}}, ".port "),
        ({"network": {"proxy": {"http": ["http://me:hidden@proxy:1"]}}}, "network.proxy"),
    ],
)
def test_error_of_a_damaged_spec_names_the_key_and_shows_no_password(
    names: Names, section: dict[str, Any], words: str
) -> None:
    save(names, ResolvedSpec(name="demo"))
    names.spec.write_text(json.dumps(json.loads(names.spec.read_text()) | section))
    with pytest.raises(SandboxError, match="cannot be read") as caught:
        load(names)
    assert words in caught.value.details
    assert "hidden" not in caught.value.details and caught.value.__cause__ is None
