"""Documents that were valid are not checked again, and what is kept of them can make nothing else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.config import loader, resolve, valid_before
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import UsageError
from sandbox.images.lockfile import Lock
from sandbox.images.sources.compress_spool import Scratch
from sandbox.system import files
from sandbox.system.kept_files import KeptFiles

TEXT = "name: demo\ncluster: {nodes: 3}\napply: [k8s, {chart: c}]\nedge: {ports: auto}\n"
READ = """
import sys
from pathlib import Path
from sandbox.config import resolve, valid_before
from sandbox.config.schema import ResolvedSpec
from sandbox.system.kept_files import KeptFiles
valid_before.remember(KeptFiles(Path(sys.argv[1])))
spec = resolve.load(Path(sys.argv[2]))
resolved = ResolvedSpec.read(ResolvedSpec.of(spec, registry=5001, https=(443,)).model_dump_json().encode())
print(spec.cluster.nodes.total, resolved.registry.port, resolved.recorded().says("name"), "pydantic" in sys.modules)
"""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """The folder of what is remembered."""
    valid_before.remember(KeptFiles(tmp_path / "kept"))
    yield tmp_path / "kept"
    valid_before.remember(None)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each text that is checked."""
    checked: list[str] = []
    before = loader._checked

    def check(said: str, **named: Any) -> Any:
        checked.append(said)
        return before(said, **named)

    monkeypatch.setattr(loader, "_checked", check)
    return checked


def test_document_that_was_valid_is_not_checked_again(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = counted(monkeypatch)
    file = tmp_path / "sandbox.yaml"
    file.write_text(TEXT)
    first, second = resolve.load(file), resolve.load(file)
    assert (first, len(checked), len(list(kept.iterdir()))) == (second, 1, 1)
    assert str(second.origin("cluster", "nodes")) == f"{file}:2"
    file.write_text(f"# moved\n{TEXT}")
    assert str(resolve.load(file).origin("cluster", "nodes")) == f"{file}:3"
    assert len(checked) == 1
    assert next(kept.iterdir()).stat().st_mode & 0o777 == 0o600


def test_short_command_does_without_pydantic(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text(TEXT)
    words = [sys.executable, "-c", READ, str(tmp_path / "kept"), str(file)]
    said = [subprocess.run(words, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]
    assert said == [["3", "5001", "True", "True"], ["3", "5001", "True", "False"]]


def test_wrong_document_is_refused_each_time(kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="nodes"):
            loader.parse("cluster: {nodes: 0}", Spec, origin="spec", amend=lambda source: source)
    assert not kept.exists()


def test_values_that_do_not_fit_are_refused_each_time(kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="5001 is one of the edge's ports"):
            loader.parse("registry: {port: 5001}\nedge: {ports: [5001]}", Spec, origin="spec")


def test_document_with_a_password_is_not_kept(kept: Path) -> None:
    loader.parse("network: {proxy: {http: 'http://me:secret@proxy:3128'}}", Spec, origin="spec")
    assert not kept.exists()


@pytest.mark.parametrize("data", [b"", b"\x80", pickle.dumps({"name": "demo"}), pickle.dumps(Lock())])
def test_damaged_memory_is_forgotten(kept: Path, data: bytes) -> None:
    spec = ResolvedSpec(name="demo")
    said = spec.model_dump_json().encode()
    ResolvedSpec.read(said)
    (file,) = kept.iterdir()
    file.write_bytes(data)
    assert ResolvedSpec.read(said) == spec
    assert file.read_bytes() != data


@pytest.mark.parametrize("made", [os.mkdir, files.make_private_dir, Scratch])
def test_memory_makes_nothing_but_documents(kept: Path, tmp_path: Path, made: Any) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return made, (tmp_path / "planted",)

    said = ResolvedSpec(name="demo").model_dump_json().encode()
    ResolvedSpec.read(said)
    (file,) = kept.iterdir()
    file.write_bytes(pickle.dumps(Planted()))
    assert ResolvedSpec.read(said).name == "demo"
    assert not (tmp_path / "planted").exists()


def test_change_of_the_program_makes_it_check_again(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "rules.py").write_text("A = 1\n")
    monkeypatch.setattr(valid_before, "_PACKAGES", (package,))
    checked = counted(monkeypatch)
    for text in ("A = 1\n", "A = 10\n"):
        (package / "rules.py").write_text(text)
        loader.parse(TEXT, Spec, origin="spec", amend=lambda source: source)
        loader.parse(TEXT, Spec, origin="spec", amend=lambda source: source)
    assert 2 <= len(checked) <= 3
