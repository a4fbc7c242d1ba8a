"""Files taken out of a Go module, with a `go` that says where the module is."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle.builder import golang
from sandbox.bundle.recipe import ModuleFiles, recipes

# Refuses whatever would not be checked against go.sum.
GO = """#!/bin/sh
test -f go.mod && test -f go.sum || exit 1
case "$1 $2" in
"mod download") exit 0 ;;
"list -m") echo {module} ;;
*) exit 1 ;;
esac
"""


def test_files_are_taken_without_their_folders_and_can_be_removed_again(tmp_path: Path) -> None:
    module, work, go = tmp_path / "module", tmp_path / "work", tmp_path / "go"
    (module / "a" / "b").mkdir(parents=True)
    (module / "a" / "b" / "one.yaml").write_text("1\n")
    (module / "a" / "b" / "one.yaml").chmod(0o444)
    (module / "two.yaml").write_text("2\n")
    work.mkdir()
    go.write_text(GO.format(module=module))
    go.chmod(0o755)
    spec = ModuleFiles(module="example.com/m", paths=("a/b/one.yaml", "two.yaml"))
    golang.take(recipes()["gateway-api"], spec, go, work, tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "one.yaml": "1\n",
        "two.yaml": "2\n",
    }
    assert all(path.stat().st_mode & 0o200 for path in (tmp_path / "out").iterdir())
