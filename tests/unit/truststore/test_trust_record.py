"""What is noted of trusted roots survives, adds up, and is passed over when it was damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sandbox.truststore.trust_record import Entry, Record
from tests.support.trust_roots import ours


def test_what_was_written_is_read(tmp_path: Path) -> None:
    record = Record(tmp_path / "trust")
    assert record.entries() == ()
    record.write(Entry(ours(1), "demo", (("nss", Path("/a")),)))
    record.write(Entry(ours(1), "", (("java", Path("/b")), ("nss", Path("/a")))))
    record.write(Entry(ours(2), "other"))
    first = Entry(ours(1), "demo", (("nss", Path("/a")), ("java", Path("/b"))))
    assert set(record.entries()) == {first, Entry(ours(2), "other")}
    assert record.certificate(ours(1)).read_bytes() == ours(1).pem
    assert stat.S_IMODE(record.folder.stat().st_mode) == 0o700


def test_what_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.write(Entry(ours(1), "demo"))
    record.forget([ours(1), ours(2)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(59)
def test_damaged_notes_are_passed_over(tmp_path: Path) -> None:
    """Damaged notes on trusted stores → passed over."""
    record = Record(tmp_path)
    for number in range(4):
        record.write(Entry(ours(number), "demo"))
    record.certificate(ours(0)).unlink()
    record.certificate(ours(1)).write_text("words")
    (tmp_path / f"{ours(2).label}.json").write_text("{}")
    (tmp_path / f"{ours(3).label}.json").write_text("[")
    assert record.entries() == ()
