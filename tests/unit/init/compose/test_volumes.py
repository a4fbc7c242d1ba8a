"""What becomes of the volumes, secrets and configs of a compose service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.init.compose import volumes
from sandbox.init.compose.volumes import MAX_BYTES, MAX_FILES, Volumes
from sandbox.init.detected import Mount
from tests.support.project_folder import write


def sort(folder: Path, *entries: Any, context: str | None = None) -> tuple[Volumes, list[str]]:
    service, left_out = {"volumes": list(entries)}, list[str]()
    names = volumes.claims([service], folder)
    return volumes.sort(service, folder, context, names, left_out), left_out


@pytest.mark.parametrize(
    ("entry", "claim"),
    [
        ("Data:/data", "data"),
        ("./absent:/data:rw", "absent"),
        ({"type": "bind", "source": "./empty", "target": "/data"}, "empty"),
        ("/srv/shop:/data", "srv-shop"),
    ],
)
def test_volumes_and_empty_folders_are_claims(tmp_path: Path, entry: Any, claim: str) -> None:
    write(tmp_path, {"empty/.gitkeep": ""})
    assert sort(tmp_path, entry) == (Volumes(claims={"/data": claim}), [])


def test_places_that_a_build_fills_have_no_claim(tmp_path: Path) -> None:
    filled = ("modules:/app/node_modules", "modules:/srv/vendor/", "/data", {"type": "volume", "target": "/data"})
    assert sort(tmp_path, *filled, context=".") == (Volumes(), [])


def test_text_files_are_mounted(tmp_path: Path) -> None:
    write(tmp_path, {"nginx.conf": "a", "conf/sub/b.conf": "b", "conf/c.conf": "c"})
    placed, _ = sort(tmp_path, "./nginx.conf:/etc/nginx.conf:ro", "./conf:/etc/conf")
    assert placed.mounts == [
        Mount("/etc/nginx.conf", {"nginx.conf": "a"}, single=True),
        Mount("/etc/conf", {"c.conf": "c", "sub/b.conf": "b"}),
    ]


@pytest.mark.parametrize("content", [b"\xff\0", b"a\0", b"a" * (MAX_BYTES + 1), None])
def test_folder_that_no_configmap_holds_is_copied_into_a_pulled_image(tmp_path: Path, content: bytes | None) -> None:
    write(tmp_path, {f"site/{number}": "" for number in range(1 if content else MAX_FILES + 1)})
    (tmp_path / "site/0").write_bytes(content or b"")
    assert sort(tmp_path, "./site:/srv/") == (Volumes(copied={"site": "/srv"}), [])
    assert sort(tmp_path, "./site:/srv/", context="web") == (Volumes(), ["volumes.site"])


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "~/.aws", "../outside", "/proc", "./link"])
def test_folder_elsewhere_on_the_machine_is_left_out(tmp_path: Path, source: str) -> None:
    write(tmp_path, {"outside/a": "a", "root/b": "b"})
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    assert sort(tmp_path / "root", f"{source}:/x")[1] == [f"volumes.{source.removeprefix('./')}"]
    assert sort(tmp_path, {"type": "tmpfs", "target": "/x"})[1] == ["volumes./x"]


def test_secrets_and_configs_are_mounted_at_their_places(tmp_path: Path) -> None:
    write(tmp_path, {"key.txt": "k"})
    left_out: list[str] = []
    secrets = {"Key": {"file": "key.txt"}, "token": {"environment": "TOKEN"}, "out": {"file": "../x"}}
    defined: dict[str, dict[str, Any]] = {"secrets": secrets, "configs": {"conf": {"content": "c"}}}
    named = ["Key", {"source": "token", "target": "/t", "mode": 0o400}, "out", "none"]
    service = {"secrets": named, "configs": ["conf"]}
    mounts = list(volumes.secrets(service, defined, tmp_path, {"TOKEN": "t"}, left_out))
    assert mounts == [
        Mount("/run/secrets/Key", {"key": "k"}, single=True, name="key", secret=True),
        Mount("/t", {"token": "t"}, single=True, name="token", secret=True),
        Mount("/conf", {"conf": "c"}, single=True, name="conf"),
    ]
    assert left_out == ["secrets.token.mode", "secrets.out", "secrets.none"]
