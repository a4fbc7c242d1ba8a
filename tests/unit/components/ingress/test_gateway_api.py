"""The Gateway API's kinds: the bundle has the very files that are known by their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.components.ingress import gateway_api
from sandbox.errors import SandboxError


def test_the_bundle_takes_the_same_files_of_the_same_release() -> None:
    recipe = recipes()["gateway-api"]
    assert recipe.version == gateway_api.VERSION
    assert recipe.files is not None
    assert set(recipe.files.paths) == {f"config/crd/{gateway_api.path(name)}" for name in gateway_api.FILES}


def test_they_are_read_from_the_folder_in_which_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"{kind: CustomResourceDefinition, metadata: {name: a}}\n"
    monkeypatch.setattr(gateway_api, "FILES", {"standard/things": hashlib.sha256(text).hexdigest()})
    (tmp_path / "gateway.networking.k8s.io_things.yaml").write_bytes(text)
    assert gateway_api.definitions(tmp_path) == [{"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}]


@pytest.mark.fault(63)
def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """Another file in the bundle's place → refused by its digest."""
    for name in gateway_api.FILES:
        (tmp_path / Path(gateway_api.path(name)).name).write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file from"):
        gateway_api.definitions(tmp_path)
