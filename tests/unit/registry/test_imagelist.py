"""`images.yaml`: both forms of an element, defaults, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.registry import reference
from sandbox.registry.imagelist import FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry, load
from sandbox.registry.target import Target

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
        "- {from: build, context: ./app, as: app:built}",
        "- {from: archive, path: /abs/two.tar, image: two:b}",
    )
    assert load(path) == (
        FromRegistry(Target("busybox", "1.37"), reference.parse("busybox:1.37")),
        FromDaemon(Target("app", "dev"), "app:dev"),
        FromArchive(Target("app", "archived"), tmp_path / "build/app.tar"),
        FromLayout(Target("tools", "1"), tmp_path / "oci"),
        FromBuild(Target("app", "built"), tmp_path / "app"),
        FromArchive(Target("two", "b"), Path("/abs/two.tar"), "two:b"),
    )


@pytest.mark.parametrize(
    ("image", "target"),
    [
        ("busybox", Target("busybox", "latest")),
        ("docker.io/library/busybox:1", Target("busybox", "1")),
        ("ghcr.io/org/app:1", Target("org/app", "1")),
        (f"ghcr.io/org/app:1@sha256:{HEX}", Target("org/app", "1")),
        (f"ghcr.io/org/app@sha256:{HEX}", Target("org/app", None, f"sha256:{HEX}")),
    ],
)
def test_an_image_keeps_its_path_and_tag_unless_told_otherwise(tmp_path: Path, image: str, target: Target) -> None:
    (entry,) = load(write(tmp_path, f"- {image}"))
    assert entry.target == target


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- Busy:1", "not a repository path"),
        ("- {from: daemon}", "needs `image:`"),
        ("- {from: archive, path: a.tar}", "add `as: name:tag`"),
        ("- {from: daemon, image: a, context: .}", "no meaning"),
        ("- {from: daemon, image: a, as: 'host:5000/a'}", "registry host"),
        ("- {from: nowhere, image: a}", "from"),
        ("- {from: daemon, imag: a}", "imag"),
        ("- 5", "images"),
    ],
)
def test_mistakes_name_the_file_and_the_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, "- busybox", line))
    text = f"{caught.value.brief} {caught.value.details} {caught.value.fix}"
    assert said in text
    assert "images.yaml:3" in text


def test_two_images_cannot_have_one_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, "- busybox", "- {from: daemon, image: busybox}"))
    assert "busybox:latest" in str(caught.value) + caught.value.fix
