"""Reads the package's own YAML with its placeholders filled in."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Any

from sandbox.config import yaml_text


def text(name: str) -> str:
    """One of the package's files as it is."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def objects(name: str, **values: str) -> list[dict[str, Any]]:
    """The objects of the file `name`, in which every `${placeholder}` has its value."""
    return yaml_text.documents(Template(text(name)).substitute(values))
