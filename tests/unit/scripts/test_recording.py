"""A terminal recorded as a picture: what stays needs no animation, what goes has its time, no path is told."""

from __future__ import annotations

import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

ROOT = Path(__file__).parents[3]
SHOWN = ROOT / "docs" / "up.svg"
LARGEST = 60_000  # bytes; it is on the first screen of the README
SVG = "{http://www.w3.org/2000/svg}"


def load() -> ModuleType:
    loader = SourceFileLoader("recording", str(ROOT / "scripts" / "recording"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    # Dataclasses look their module up; and the script has no suffix, a compiled file next to it would be litter.
    sys.modules[loader.name] = module
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writing
    return module


recording = load()


def drawn(*pieces: tuple[float, bytes], home: str = "/home/ann") -> ElementTree.Element:
    seen = list(recording.looks(pieces, home))
    return ElementTree.fromstring(recording.svg(recording.spans(seen), "a label"))  # noqa: S314  # our own


def texts(picture: ElementTree.Element, path: str) -> list[str | None]:
    return [one.text for one in picture.findall(path)]


def test_lasting_line_waits_and_transient_one_shows_for_its_time() -> None:
    picture = drawn((0.0, b"$ trust /home/ann/root.crt\r\n"), (1.0, b"working\r"), (2.5, b"\x1b[2Kdone\r\n"))
    assert texts(picture, f"./{SVG}text") == ["$ trust ~/root.crt"]
    going, staying = picture.findall(f"{SVG}g")
    assert (going.attrib, texts(going, f"{SVG}text")) == (
        {"class": "gone", "style": "animation:show 1.5s 1s"},
        ["working"],
    )
    assert (staying.attrib, texts(staying, f"{SVG}text")) == ({"style": "animation:wait 2.5s"}, ["done"])


def test_picture_is_small_complete_and_has_no_machine_facts() -> None:
    content = SHOWN.read_text()
    assert len(content.encode()) <= LARGEST
    picture = ElementTree.fromstring(content)  # noqa: S314  # our own
    gone = {text for group in picture.findall(f"{SVG}g[@class]") for text in group}
    staying = [one.text or "" for one in picture.iter(f"{SVG}text") if one not in gone]
    assert any(line.startswith("https://hello.demo.sandbox.localhost/") for line in staying)
    assert not re.search(r"/(root|home|Users|tmp)/|failed", content)
    assert not re.search(r"href|url\(|<script|<image", content)  # nothing is loaded from elsewhere
