"""Text is UTF-8 in every locale: what is read and written, and what programs say."""

from __future__ import annotations

import ast

import pytest

from tests.support.sources import calls


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
