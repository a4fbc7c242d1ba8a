"""How many, and how large: as people read it."""

from __future__ import annotations

from sandbox.quantities import count, megabytes, plural


def test_count_has_the_plural_for_all_but_one() -> None:
    assert [count(number, "host") for number in range(3)] == ["0 hosts", "1 host", "2 hosts"]
    assert plural(1, "host") == "host"


def test_megabytes_are_decimal() -> None:
    assert megabytes(1_250_000) == "1.2 MB"
