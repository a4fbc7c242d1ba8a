"""Check in the syntax trees what ARCHITECTURE and CONTRIBUTING say of the whole code and its tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sources import PACKAGE, calls, dotted, nodes

TESTS = Path(__file__).parent.parent
LONGEST_TEST_NAME = 90
RIDDLE = re.compile(r"test_(it|its|who\w*|what|those|they|(any|some)one|one_that|ours|theirs)_")
# Besides cli/, each with its reason.
READS_ENVIRONMENT = {
    "app/context.py": "what others are handed",
    "bundle/released_tools.py": "the mirror of a company",
    "components/cluster/kind/command.py": "kind finds docker's command by the PATH",
    "components/credentials/renewal_daemon.py": "a process of its own",
    "engine/endpoint.py": "which engine the user means is in Docker's own variables",
    "mcp/tasks.py": "commands of an agent inherit it",
    "system/process.py": "programs inherit it",
    "truststore/stores.py": "JAVA_HOME and SUDO_USER are facts of the machine",
}
CONSTRUCTS_STEPS = {
    "app/running/addon_changes.py": "an addon that a command enables is a walk over one step",
    "components/addons/addon_charts.py": "the chart of an addon is installed by the step for the user's charts",
}


def reads_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and dotted(node) in ("os.environ", "os.environb", "os.getenv")


def asks_for_provider(node: ast.AST) -> bool:
    operands = (node.left, *node.comparators) if isinstance(node, ast.Compare) else ()
    return any(isinstance(operand, ast.Attribute) and operand.attr == "provider" for operand in operands)


def constructs_step(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Step")


def having(predicate: Callable[[ast.AST], bool]) -> set[str]:
    return {path for path, node in nodes() if predicate(node)}


def test_environment_is_read_in_cli_and_a_few_places() -> None:
    found = {name for name in having(reads_environment) if not name.startswith("cli/")}
    assert found == set(READS_ENVIRONMENT)


def test_steps_are_constructed_in_plan_only() -> None:
    found = {name for name in having(constructs_step) if not name.startswith("plan/")}
    assert found <= set(CONSTRUCTS_STEPS)


def test_provider_is_asked_for_its_capabilities_and_not_its_name() -> None:
    assert having(asks_for_provider) == {"plan/providers.py"}  # which makes the provider


def test_printed_commands_quote_their_paths() -> None:
    """A folder with a space, as macOS' own for programs' data → what is printed can be copied into a shell."""
    command = re.compile(
        r"\b(?:chmod [0-7]+|(?<!e )(?<![kt] )rm(?: -r)?|openssl x509[^{]* -in|export [A-Z_]+=) ?\{(?!shlex)"
    )
    lines = ((file, line) for file in PACKAGE.rglob("*.py") for line in file.read_text(encoding="utf-8").splitlines())
    assert [f"{file.relative_to(PACKAGE)}: {line.strip()}" for file, line in lines if command.search(line)] == []


def test_names_of_tests_begin_with_a_subject_and_are_short() -> None:
    named = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    names = [
        f"{file.relative_to(TESTS)}: {name}"
        for file in TESTS.rglob("*.py")
        for name in named.findall(file.read_text(encoding="utf-8"))
        if len(name) > LONGEST_TEST_NAME or RIDDLE.match(name)
    ]
    assert names == []


def is_undecided(node: ast.Call, called: str) -> bool:
    """Whether a call leaves it to the locale which bytes a text is."""
    given = {one.arg for one in node.keywords}
    if "encoding" in given:
        return False
    match called.rpartition(".")[2]:
        case "read_text":
            return not node.args
        case "write_text":
            return True
        case "open" | "fdopen" if called != "tarfile.open":
            values = [*node.args, *(one.value for one in node.keywords if one.arg == "mode")]
            words = [str(one.value) for one in values if isinstance(one, ast.Constant)]
            modes = [word for word in words if set(word) <= set("rwaxb+t")]
            is_text = modes or called in ("open", "os.fdopen") or not node.args  # else it opens something else
            return bool(is_text) and not any("b" in mode for mode in modes)
        case "Popen" | "run":
            return "text" in given
    return False


@pytest.mark.fault(53)
def test_every_text_file_names_its_encoding() -> None:
    """The locale is ISO 8859-1 → no file is read or written by it."""
    assert [f"{path}:{node.lineno}" for path, node, called in calls() if is_undecided(node, called)] == []
