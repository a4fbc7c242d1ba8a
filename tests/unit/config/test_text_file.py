"""Text files that others may have written, as far as they are read at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.config import text_file
from sandbox.errors import BadFile


def test_a_large_file_is_too_large_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text("ä" * (1 << 20), encoding="utf-8")  # of two bytes each, the last that is read is half of one
    with pytest.raises(BadFile, match="is larger than 1 MiB"):
        text_file.read(path, most=1 << 20)
