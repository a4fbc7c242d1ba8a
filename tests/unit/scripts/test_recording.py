"""The recording on the first screen of the README."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[3]
SHOWN = ROOT / "docs" / "up.svg"
LARGEST = 60_000  # bytes; it is on the first screen of the README
SVG = "{http://www.w3.org/2000/svg}"


def test_picture_is_small_complete_and_has_no_machine_facts() -> None:
    content = SHOWN.read_text()
    assert len(content.encode()) <= LARGEST
    picture = ElementTree.fromstring(content)  # noqa: S314  # our own
    gone = {text for group in picture.findall(f"{SVG}g[@class]") for text in group}
    staying = [one.text or "" for one in picture.iter(f"{SVG}text") if one not in gone]
    assert any(line.startswith("https://hello.demo.sandbox.localhost/") for line in staying)
    assert not re.search(r"/(root|home|Users|tmp)/|failed", content)
    assert not re.search(r"href|url\(|<script|<image", content)  # nothing is loaded from elsewhere
