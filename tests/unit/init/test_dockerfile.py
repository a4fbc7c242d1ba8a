"""What a Dockerfile says without being built."""

from __future__ import annotations

import pytest

from sandbox.init import dockerfile


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("FROM a\nexpose 8080/tcp 9", 8080),
        ("EXPOSE 53/udp 54", 54),
        ("EXPOSE 53/udp\nEXPOSE 9000-9010/TCP", 9000),
        ("ENV A=1 PORT='3001'\nEXPOSE ${PORT}/tcp", 3001),
        ("ARG PORT\nEXPOSE ${PORT:-3003}", 3003),
        ("EXPOSE 0 70000\n# EXPOSE 80", None),
        ("ENV PORT=3004", 3004),
        ("ENV DB_PORT=5432", None),
    ],
)
def test_port_is_the_first_exposed_one_or_the_variable_port(text: str, port: int | None) -> None:
    assert dockerfile.port(text) == port


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY services/api/ /app", ["services/api"]),
        ('ADD ["my files", "b.txt", "/x/"]', ["my files", "b.txt"]),
        ("COPY a \\\r\n  b /x/\r\n", ["a", "b"]),
        ("COPY --from=build /out /x", []),
        ("COPY $DIR *.txt https://example.com/x ../y <<EOF /x/", []),
    ],
)
def test_sources_are_the_copied_files_of_the_context(text: str, sources: list[str]) -> None:
    assert list(dockerfile.sources(text)) == sources


STAGES = """\
ARG WEB=8080
FROM node AS base
FROM base AS dev
EXPOSE 3000
FROM base AS server
EXPOSE $WEB
FROM nginx
"""


@pytest.mark.parametrize(("stage", "port"), [("base", None), ("DEV", 3000), ("server", 8080), (None, None)])
def test_stage_has_the_instructions_of_its_bases(stage: str | None, port: int | None) -> None:
    assert dockerfile.port(STAGES, stage) == port
