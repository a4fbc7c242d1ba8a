"""Images that are made from others of images.yaml come after those."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.images.build_order import bases, waves
from sandbox.images.images_yaml import FromBuild
from sandbox.oci.reference import Target

BASE, APP, TOP = Target("team/base", "dev"), Target("team/app", "dev"), Target("top", "latest")

WITHOUT_HERE_DOCUMENT = [
    *("RUN echo $((1<<2))", "RUN cat <<<EOF", "# RUN <<EOF", "ENV A=<<EOF", "RUN a<<EOF"),
    *("RUN echo 'a <<EOF'", 'RUN echo "\\" <<EOF"', "RUN echo \\\\"),
]


def image(folder: Path, target: Target, dockerfile: str, **args: str) -> FromBuild:
    context = folder / target.repository.rpartition("/")[2]
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    return FromBuild(target, context, args=tuple(args.items()))


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM team/base:dev\n",
        "from --platform=linux/amd64 docker.io/team/base:dev AS build\nFROM scratch\n",
        "FROM busybox\nCOPY --chown=1 --from=team/base:dev /a /a\n",
        'ARG BASE="team/base:dev"\nFROM ${BASE}\n',
        "ARG TAG=other\nFROM team/base:${TAG:-dev}\n",
        "FROM team/base:${NONE:-dev}\n",
        "FROM busybox\nRUN --mount=type=cache,target=/c --mount=type=bind,from=team/base:dev,target=/b true\n",
        "FROM \\\n  team/base:dev\n",
        "FROM busybox\nCOPY --chown=1 \\\n  # what was built\n\n  --from=team/base:dev /a /a\n",
        "ARG A=1 TAG BASE='team/base:dev'\nFROM $BASE\n",
        "ARG BASE=team/base:dev\nFROM busybox AS first\nARG BASE\nFROM $BASE\n",
        *(f"{line}\nFROM team/base:dev\n" for line in WITHOUT_HERE_DOCUMENT),
    ],
)
def test_image_is_found_by_its_name_in_the_dockerfile(tmp_path: Path, dockerfile: str) -> None:
    made = [image(tmp_path, APP, dockerfile, TAG="dev"), image(tmp_path, BASE, "FROM scratch\n")]
    assert bases(made) == {APP: {BASE}, BASE: frozenset()}


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM team/base\n",
        "FROM ghcr.io/team/base:dev\n",
        "FROM team/app:dev\n",
        "FROM UPPER/Case\nFROM $\n",
        "FROM busybox\n# RUN --mount=from=team/base:dev,target=/b true\nRUN echo x--mount=from=team/base:dev\n",
        "FROM busybox AS first\nARG BASE=team/base:dev\nFROM $BASE\n",
    ],
)
def test_other_names_are_of_other_images(tmp_path: Path, dockerfile: str) -> None:
    made = [image(tmp_path, APP, dockerfile), image(tmp_path, BASE, "FROM scratch\n")]
    assert bases(made)[APP] == frozenset()


@pytest.mark.parametrize(
    "document",
    [
        "RUN <<EOF psql\nSELECT 1\nFROM team/base:dev\nEOF",
        "RUN cat <<-'END' \\\n  > /a\n\tFROM team/base:dev\n\tEND",
        "COPY <<a <<b /c/\nx\na\nFROM team/base:dev\nb",
        "RUN true && \\\n  # then\n  cat <<EOF >/a\nFROM team/base:dev\nEOF",
    ],
)
def test_lines_of_a_here_document_name_no_image(tmp_path: Path, document: str) -> None:
    """SQL has a FROM, too."""
    made = [image(tmp_path, APP, f"FROM busybox\n{document}\n"), image(tmp_path, BASE, "FROM scratch\n")]
    assert bases(made)[APP] == frozenset()
    (tmp_path / "app" / "Dockerfile").write_text(f"FROM busybox\n{document}\nCOPY --from=team/base:dev /a /\n")
    assert bases(made)[APP] == {BASE}, "what follows counts"


def test_a_stage_with_the_name_of_an_image_is_the_stage(tmp_path: Path) -> None:
    dockerfile = "FROM busybox AS Top\nFROM top\nCOPY --from=TOP /a /a\nRUN --mount=from=top,target=/t true\n"
    made = [image(tmp_path, APP, dockerfile), image(tmp_path, TOP, "FROM top AS top\n")]
    assert bases(made) == {APP: frozenset(), TOP: frozenset()}
    (tmp_path / "app" / "Dockerfile").write_text("FROM top AS top\n")
    assert bases(made)[APP] == {TOP}


def test_bases_are_built_first_and_circles_at_last(tmp_path: Path) -> None:
    top, app = image(tmp_path, TOP, "FROM team/app:dev\n"), image(tmp_path, APP, "FROM team/base:dev\n")
    base = image(tmp_path, BASE, "FROM scratch\n")
    assert list(waves([top, app, base])) == [[base], [app], [top]]
    (base.context / "Dockerfile").write_text("FROM top\n")
    assert list(waves([top, app, base])) == [[top, app, base]]
