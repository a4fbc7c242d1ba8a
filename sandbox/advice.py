"""What each kind of error means and what helps, by the id that its first line shows; the texts are in advice.yaml."""

from importlib import resources
from typing import NamedTuple

import yaml


class Advice(NamedTuple):
    """`title` is what happened in a few words, `meaning` when it does, `advice` what helps beyond the error's fix."""

    title: str
    meaning: str
    advice: str


def registry() -> dict[str, Advice]:
    """Return the advice of every id, in alphabetical order."""
    text = resources.files("sandbox").joinpath("advice.yaml").read_text(encoding="utf-8")
    return {id: Advice(**about) for id, about in yaml.safe_load(text).items()}
