"""What a Dockerfile says without being built."""

from __future__ import annotations

import time

import pytest

from sandbox.init import dockerfile


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("EXPOSE 80", 80),
        ("FROM a\nexpose 8080/tcp 9", 8080),
        ("EXPOSE 53/udp 54", 54),
        ("EXPOSE 53/udp\nEXPOSE 9000-9010/TCP", 9000),
        ("ENV PORT=3000\nEXPOSE $PORT", 3000),
        ("ENV A=1 PORT='3001'\nEXPOSE ${PORT}/tcp", 3001),
        ("ENV PORT 3002\nEXPOSE $PORT", 3002),
        ("ARG PORT\nEXPOSE ${PORT:-3003}", 3003),
        ("ARG PORT\nEXPOSE $PORT", None),
        ("EXPOSE 0 70000", None),
        ("# EXPOSE 80", None),
        ("ENV PORT=3004", 3004),
        ("ENV PORT=3004\nEXPOSE 80", 80),
        ("ENV PORT=3004\nEXPOSE 53/udp", None),
        ("ENV DB_PORT=5432", None),
    ],
)
def test_port_is_the_first_that_is_exposed_or_else_port_s_value(text: str, port: int | None) -> None:
    assert dockerfile.port(text) == port


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY services/api/ /app", ["services/api"]),
        ("copy --chown=a:b a b /x/", ["a", "b"]),
        ('ADD ["a.txt", "b.txt", "/x/"]', ["a.txt", "b.txt"]),
        ("COPY a \\\n  b /x/", ["a", "b"]),
        ("COPY a \\\r\n  b /x/\r\n", ["a", "b"]),
        ('COPY ["my files", "b", "/x/"]', ["my files", "b"]),
        ("COPY --from=build /out /x", []),
        ("COPY $DIR *.txt https://example.com/x ../y <<EOF /x/", []),
    ],
)
def test_copied_files_of_the_context_are_found(text: str, sources: list[str]) -> None:
    assert list(dockerfile.sources(text)) == sources


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    "text", ["\n" * 100_000, "ENV " + "a" * 100_000, "COPY --\n" + "\n" * 100_000], ids=lambda one: one[:8]
)
def test_dockerfile_of_empty_lines_is_read_at_once(text: str) -> None:
    """A Dockerfile of 100 kB of empty lines, or one word → read at once by init."""
    begun = time.process_time()
    assert dockerfile.port(f"FROM scratch\n{text}\nEXPOSE 80\n") == 80
    assert list(dockerfile.sources(text)) == []
    assert time.process_time() - begun < 5.0


STAGES = """\
ARG WEB=8080
FROM node AS base
WORKDIR /app
FROM base AS dev
WORKDIR src
EXPOSE 3000
COPY --chown=node:node \\
  # all of it
  . .
FROM base AS server
EXPOSE $WEB
COPY ["dist", "."]
FROM nginx
COPY --from=dev /app /app
"""


@pytest.mark.parametrize(
    ("stage", "port", "workdir", "copies"),
    [("base", None, "/app", False), ("DEV", 3000, "/app/src", True), ("server", 8080, "/app", False)],
)
def test_stage_is_what_it_and_its_bases_say(stage: str, port: int | None, workdir: str, copies: bool) -> None:
    assert dockerfile.port(STAGES, stage) == port
    assert dockerfile.workdir(STAGES, stage) == workdir
    assert dockerfile.copies(STAGES, stage, ".", "/app/src") is copies


@pytest.mark.parametrize(
    ("line", "path", "place", "copies"),
    [
        ("COPY . .", ".", "/code/", True),
        ("COPY . /srv", ".", "/code", False),
        ("COPY . .", "src", "/code/src", True),
        ("COPY src /code/src/", "src/deep", "/code/src/deep", True),
        ("COPY src /code/", "src", "/code/src", False),
        ("COPY package.json .", ".", "/code", False),
        ("COPY --from=build . .", ".", "/code", False),
        ("COPY . $DIR", ".", "/code", True),
        ("WORKDIR $DIR\nCOPY . .", ".", "/code", True),
    ],
)
def test_copied_folder_is_known_by_its_place(line: str, path: str, place: str, copies: bool) -> None:
    assert dockerfile.copies(f"FROM node\nWORKDIR /code\n{line}\n", None, path, place) is copies
    assert dockerfile.copies("FROM node\nCOPY . .\n", None, path, place)  # its own folder is not known


def test_last_stage_has_nothing_of_others() -> None:
    assert dockerfile.port(STAGES) is None
    assert dockerfile.workdir(STAGES) is None
    assert dockerfile.workdir(f"{STAGES}WORKDIR $DIR") is None


def test_dockerfile_of_many_stages_is_read_at_once() -> None:
    begun = time.process_time()
    lines = "".join(f"FROM s{number} AS s{number + 1}\nRUN true \\\n  true\n" for number in range(20_000))
    assert dockerfile.port(f"{lines}EXPOSE 80\n") == 80
    assert time.process_time() - begun < 5.0
