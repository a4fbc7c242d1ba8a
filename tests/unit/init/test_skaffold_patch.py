"""Patches of a skaffold profile change the configuration as RFC 6902 says, or are named."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import UsageError
from sandbox.init.skaffold_patch import patched

CONFIG: dict[str, Any] = {"build": {"artifacts": [{"image": "api"}, {"image": "web"}]}, "a/b": 1}
API, WEB = CONFIG["build"]["artifacts"]


@pytest.mark.parametrize(
    ("patch", "artifacts"),
    [
        ({"path": "/build/artifacts/1/image", "value": "x"}, [API, {"image": "x"}]),
        ({"op": "replace", "path": "/build/artifacts/0", "value": 1}, [1, WEB]),
        ({"op": "add", "path": "/build/artifacts/0", "value": 1}, [1, API, WEB]),
        ({"op": "add", "path": "/build/artifacts/2", "value": 1}, [API, WEB, 1]),
        ({"op": "add", "path": "/build/artifacts/-", "value": 1}, [API, WEB, 1]),
        ({"op": "add", "path": "/build/artifacts/0/docker", "value": {}}, [{"image": "api", "docker": {}}, WEB]),
        ({"op": "remove", "path": "/build/artifacts/0"}, [WEB]),
        ({"op": "remove", "path": "/build/artifacts/1/image"}, [API, {}]),
    ],
)
def test_patch_changes_what_its_path_means(patch: dict[str, Any], artifacts: list[Any]) -> None:
    assert patched(CONFIG, patch) == {"build": {"artifacts": artifacts}, "a/b": 1}
    assert patched(CONFIG, {"path": "/a~1b", "value": 1}) == CONFIG


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        *(({"path": f"/build/{one}"}, "is not in it") for one in ("x", "artifacts/2", "artifacts/-", "artifacts/-1")),
        *(({"path": f"/build/artifacts/{one}"}, "is not in it") for one in ("x", "0/image/y", "0/x/y")),
        ({"op": "add", "path": "/build/artifacts/3"}, "is not in it"),
        ({"op": "add", "path": "/a~1b/c"}, "is not in it"),
        ({"op": "move", "path": "/build"}, "move /build is no such change here"),
        ({"op": "remove"}, "remove None is no such change here"),
    ],
)
def test_patch_without_a_place_is_refused(patch: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        patched(CONFIG, patch)
