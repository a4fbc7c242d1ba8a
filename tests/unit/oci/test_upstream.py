"""Upstream registries as mirrors know them."""

from __future__ import annotations

import pytest

from sandbox.oci.upstream import Upstream, parse


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("docker.io", "docker.io", "https://registry-1.docker.io"),
        ("quay.io", "quay.io", "https://quay.io"),
        ("reg.office:5000", "reg.office:5000", "https://reg.office:5000"),
        ("http://reg.office:5000", "reg.office:5000", "http://reg.office:5000"),
    ],
)
def test_images_names_and_urls(text: str, name: str, url: str) -> None:
    assert parse(text) == Upstream(name, url)
