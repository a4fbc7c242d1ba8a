"""References are read as Docker reads them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import UsageError
from sandbox.oci.reference import parse

HEX = "0123456789abcdef" * 4


@pytest.mark.fault(45)
@given(st.text(max_size=60) | st.text("ab/:@.-_A[]1 ", max_size=20))
def test_any_text_is_a_stable_reference_or_refused(text: str) -> None:
    """Any text as an image's name → read as the grammar has it, or refused."""
    try:
        reference = parse(text)
    except UsageError as error:
        assert error.brief and error.details and error.fix
    else:
        assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("team/app:dev", "docker.io/team/app:dev", "team/app:dev"),
        ("localhost:5001/app:a", "localhost:5001/app:a", "localhost:5001/app:a"),
        ("[::1]:5001/app", "[::1]:5001/app", "[::1]:5001/app"),
        ("Host/app", "Host/app", "Host/app"),
        (f"{HEX}:1", f"docker.io/library/{HEX}:1", f"{HEX}:1"),
        ("ghcr.io/org/app:1@sha256:" + HEX, "ghcr.io/org/app:1@sha256:" + HEX, "ghcr.io/org/app:1@sha256:" + HEX),
    ],
)
def test_defaults_are_those_of_docker(text: str, full: str, familiar: str) -> None:
    assert (str(parse(text)), parse(text).familiar) == (full, familiar)
    assert parse(familiar) == parse(text)


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    "text",
    [
        *("", "/app", "app/", "a//b", "App", "team/App", "http://localhost:5001/app", "-app", "app-", "a..b", "a___b"),
        *("app:", "app:-x", "app:" + "x" * 129, "app@sha256:abc", "app@sha256:" + HEX.upper(), "app@md5:" + HEX[:32]),
        *("app ", "app\n", "bücher", HEX, "x/" * 200 + "y"),
    ],
)
def test_reference_refused_by_docker_is_refused_with_a_fix(text: str) -> None:
    """Names with schemes, capitals, odd tags, 129 characters → refused with the rule."""
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.fix
