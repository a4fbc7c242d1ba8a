"""docs/faults.md is what the tests say today, and every row of the table has a test or a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_current_and_whole() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "faults-docs")]
    made = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert made == (ROOT / "docs" / "faults.md").read_text(), "scripts/faults-docs > docs/faults.md"
    assert "no test yet" not in made
