"""`images.yaml`: both forms of an element, defaults, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.images.images_yaml import (
    FromArchive,
    FromBuild,
    FromDaemon,
    FromLayout,
    FromRegistry,
    SyncRule,
    load,
    schema,
)
from sandbox.oci import reference
from sandbox.oci.reference import Target

HEX = "a" * 64


def write(folder: Path, *lines: str) -> Path:
    path = folder / "images.yaml"
    path.write_text("\n".join(("images:", *lines)) + "\n")
    return path


def test_every_kind_of_element_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "- busybox:1.37",
        "- {from: daemon, image: app:dev}",
        "- {from: archive, path: build/app.tar, as: app:archived}",
        "- {from: layout, path: oci/, as: tools:1}",
        "- {from: build, context: ./app, as: app:built, sync: [{paths: {src: /src}, run: [touch, /x]}]}",
        "- {from: archive, path: /abs/two.tar, image: two:b}",
        "- {image: app:2, platforms: [linux/amd64, linux/arm/v7, linux/amd64]}",
        "- docker.io/library/nginx",
        f"- ghcr.io/org/app:1@sha256:{HEX}",
        f"- ghcr.io/org/app@sha256:{HEX}",
    )
    assert load(path) == (
        FromRegistry(Target("busybox", "1.37"), reference.parse("busybox:1.37")),
        FromDaemon(Target("app", "dev"), "app:dev"),
        FromArchive(Target("app", "archived"), tmp_path / "build/app.tar"),
        FromLayout(Target("tools", "1"), tmp_path / "oci"),
        FromBuild(Target("app", "built"), tmp_path / "app"),
        FromArchive(Target("two", "b"), Path("/abs/two.tar"), "two:b"),
        FromRegistry(Target("app", "2"), reference.parse("app:2"), ("linux/amd64", "linux/arm/v7")),
        FromRegistry(Target("nginx", "latest"), reference.parse("nginx:latest")),
        FromRegistry(Target("org/app", "1"), reference.parse(f"ghcr.io/org/app:1@sha256:{HEX}")),
        FromRegistry(Target("org/app", None, f"sha256:{HEX}"), reference.parse(f"ghcr.io/org/app@sha256:{HEX}")),
    )


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- Busy:1", "not a repository"),
        ("- {from: daemon}", "needs `image:`"),
        ("- {from: archive, path: a.tar}", "add `as: name:tag`"),
        (f"- {{from: daemon, image: 'sha256:{'1' * 64}'}}", "add `as: name:tag`"),
        ("- {from: daemon, image: a, args: {A: b}}", "no meaning with `from: daemon`"),
        ("- {image: a, sync: [{paths: {src: /src}}]}", "no meaning with `from: registry`"),
        ("- {from: build, context: ., as: a, sync: [{paths: {/src: /app}}]}", "is not a path in the context"),
        ("- {from: build, context: ., as: a, sync: [{paths: {src: /}}]}", "is not a place in a container"),
        ("- {from: build, context: ., as: a, sync: [{paths: {}}]}", "at least one"),
        (
            "- {from: build, context: ., as: a, sync: [{paths: {src: /app}, run: [x], restart: true}]}",
            "exclude each other",
        ),
        ("- {from: daemon, image: a, as: 'host:5000/a'}", "must not name a registry"),
        ("- {from: nowhere, image: a}", "from"),
        ("- {from: daemon, imag: a}", "imag"),
        ("- {image: a, platforms: [amd64]}", "images[1].platforms[0]: 'amd64' is not a platform"),
        ("- {image: a, platforms: linux/amd64}", "images[1].platforms: must be a list"),
        ("- 5", "images"),
        ("- {from: daemon, image: busybox}", "images.yaml:3: images[1]: two images would become busybox:latest"),
        ("- {from: build, context: ., as: a, args: [A]}", "'A' is not NAME=VALUE"),
    ],
)
def test_mistakes_name_the_file_and_the_line(tmp_path: Path, line: str, said: str) -> None:
    """Wrong elements in images.yaml → file, line and what was meant."""
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, "- busybox", line))
    text = f"{caught.value.brief} {caught.value.details} {caught.value.fix}"
    assert said in text
    assert "images.yaml:3" in text


def test_schema_requires_what_each_source_needs() -> None:
    rules = schema()["$defs"]["Item"]["allOf"]
    needs = {rule["if"]["properties"]["from"]["const"]: rule["then"]["required"] for rule in rules}
    assert needs == {
        "registry": ["image"],
        "daemon": ["image"],
        "archive": ["path"],
        "layout": ["path"],
        "build": ["context"],
    }


def test_a_file_goes_where_the_longest_path_says() -> None:
    rule = SyncRule(paths={"src": "/app/src", "src/pages": "/site", "run.py": "/app/main.py"})
    names = ("src/a/b.py", "src/pages/index.html", "run.py", "srcs/a.py")
    assert [rule.place(name) for name in names] == ["/app/src/a/b.py", "/site/index.html", "/app/main.py", None]
    assert SyncRule(paths={".": "/app"}).place("a/b") == "/app/a/b"  # the whole context
