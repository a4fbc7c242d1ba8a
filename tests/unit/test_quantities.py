"""How many, and how large: as people read it."""

from __future__ import annotations

import pytest

from sandbox.quantities import count, megabytes, plural


@pytest.mark.parametrize(("number", "said"), [(0, "0 hosts"), (1, "1 host"), (2, "2 hosts")])
def test_count_has_the_plural_for_all_but_one(number: int, said: str) -> None:
    assert count(number, "host") == said
    assert said.endswith(f" {plural(number, 'host')}")


def test_megabytes_are_decimal() -> None:
    assert megabytes(1_250_000) == "1.2 MB"
