"""The `sync` rules of images.yaml: where files go, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.images.images_yaml import FromBuild, load
from sandbox.images.sync_rules import SyncRule

RULE = SyncRule(paths={"src": "/app/src", "src/pages": "/site", "run.py": "/app/main.py"})


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("src/a/b.py", "/app/src/a/b.py"),
        ("src/pages/index.html", "/site/index.html"),
        ("run.py", "/app/main.py"),
        ("srcs/a.py", None),
    ],
)
def test_a_file_goes_where_the_longest_path_says(path: str, place: str | None) -> None:
    assert RULE.place(path) == place
    assert SyncRule(paths={".": "/app"}).place("a/b") == "/app/a/b"  # the whole context


def test_rules_are_part_of_an_image_that_is_built(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(
        "images: [{from: build, context: ., as: a, sync: [{paths: {src: /src}, run: [touch, /x]}]}]", encoding="utf-8"
    )
    (entry,) = load(file)
    assert isinstance(entry, FromBuild)
    assert [(rule.place("src/a"), rule.run) for rule in entry.sync] == [("/src/a", ("touch", "/x"))]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{paths: {/src: /app}}", "is not a path in the context"),
        ("{paths: {../x: /app}}", "is not a path in the context"),
        ("{paths: {src: app}}", "is not a place in a container"),
        ("{paths: {src: /}}", "is not a place in a container"),
        ("{paths: {}}", "at least one"),
        ("{paths: {src: /app}, run: [x], restart: true}", "exclude each other"),
    ],
)
def test_a_rule_without_sense_is_refused_with_its_line(tmp_path: Path, rule: str, said: str) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(f"images:\n- from: build\n  context: .\n  as: a\n  sync: [{rule}]\n", encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load(file)
    assert said in str(refused.value)
    assert "images.yaml:5" in str(refused.value)
