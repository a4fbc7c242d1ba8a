"""The pytest fixture `sandbox`: one real sandbox for a whole test session. Costs nothing until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox import Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("sandbox_spec", "The sandbox.yaml of the fixture `sandbox`, from the root folder.", default=None)
    parser.getgroup("sandbox").addoption(
        "--keep-sandbox", action="store_true", help="Leave the sandbox up at the end, for the next run to be quick."
    )


@pytest.fixture(scope="session")
def sandbox(pytestconfig: pytest.Config) -> Iterator[Sandbox]:
    """Bring a sandbox up: of `sandbox_spec`, else of the sandbox.yaml in the root folder, else a default one.

    One that was up before stays up; workers of pytest-xdist share one, and leave it.
    """
    from sandbox import Sandbox, SandboxError, Spec

    named = pytestconfig.getini("sandbox_spec")
    file = pytestconfig.rootpath / (named or "sandbox.yaml")
    keep = pytestconfig.getoption("keep_sandbox") or hasattr(pytestconfig, "workerinput")
    failed = ""
    try:
        with Sandbox(file if named or file.exists() else Spec(), keep=keep) as up:
            yield up
    except SandboxError as error:
        failed = f"{error}\nfix: {error.fix}" if error.fix else str(error)
    if failed:  # a traceback would hide what happened, and does not have the fix
        pytest.fail(failed, pytrace=False)
