"""What a build sends to the engine, and whether a registry has an image."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from sandbox.engine import engine_images
from sandbox.engine.endpoint import Endpoint
from sandbox.engine.engine_images import Images, build_context, excluded
from sandbox.errors import SandboxError
from tests.support.http_server import Handler, answering

REFERENCE = f"docker.io/kindest/node:v1.36.4@sha256:{'ab' * 32}"


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    "harm", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)]
)
def test_odd_ignore_file_is_refused_at_once(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """A FIFO, folder or device in the place of .dockerignore → refused; not waited for, and not as if it was empty."""
    (tmp_path / "secret").touch()
    harm(tmp_path / ".dockerignore")
    for use in (build_context, excluded):
        with pytest.raises(SandboxError) as caught:
            use(tmp_path)
        assert ".dockerignore" in caught.value.brief


@pytest.mark.parametrize("dockerfile", [None, "docker/Dev", "../Outside"])
def test_ignore_file_of_a_dockerfile_comes_first(tmp_path: Path, dockerfile: str | None) -> None:
    context = tmp_path / "app"
    (context / "docker").mkdir(parents=True)
    file = context / (dockerfile or "Dockerfile")
    for path in (file, context / "secret", context / "kept"):
        path.touch()
    file.with_name(f"{file.name}.dockerignore").write_text("\ufeffsecret\n", encoding="utf-8")
    (context / ".dockerignore").write_text("kept\n")
    sends = build_context(context, dockerfile)
    assert ("kept" in sends, "secret" in sends) == (True, False) and excluded(context, dockerfile)("secret")


def images(port: int) -> Images:
    return Images(Endpoint(f"tcp://127.0.0.1:{port}", "the test"))


@pytest.mark.parametrize(
    ("status", "message", "pulled"),
    [
        (200, "", True),
        (401, "unauthorized: authentication required", True),
        (404, "manifest unknown", False),
        (429, "toomanyrequests: You have reached your pull rate limit", False),
        (500, 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', False),
    ],
)
def test_image_can_be_pulled_where_its_registry_answers(status: int, message: str, pulled: bool) -> None:
    asked: list[str] = []

    class Engine(Handler):
        def do_GET(self) -> None:  # its name in http.server
            asked.append(self.path)
            self.reply(status, json.dumps({"message": message}).encode())

    with answering(Engine) as server:
        assert images(server.server_port).can_pull(REFERENCE) == pulled
    assert unquote(asked[0]).endswith(f"/distribution/docker.io/kindest/node@sha256:{'ab' * 32}/json")


def test_question_about_an_image_ends_while_the_engine_waits_for_its_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "PROBE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not images(server.getsockname()[1]).can_pull(REFERENCE)


def test_pull_reports_received_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def events(*_: object, **__: object) -> Iterator[dict[str, object]]:
        yield {"id": "a", "status": "Pulling fs layer", "progressDetail": {}}
        yield {"id": "a", "status": "Downloading", "progressDetail": {"total": 100_000_000}}
        yield {"id": "b", "status": "Downloading", "progressDetail": {"current": 20_000_000, "total": 50_000_000}}
        yield {"id": "b", "status": "Extracting", "progressDetail": {"current": 1, "total": 50_000_000}}

    engine, lines = images(1), list[str]()
    monkeypatch.setattr(engine._slow, "pull", events)
    seconds = iter(range(10))
    monkeypatch.setattr("sandbox.engine.engine_images.time.monotonic", lambda: float(next(seconds)))
    engine.pull("busybox:1@sha256:0", lines.append)
    assert lines == ["0 of 100 MB", "20 of 150 MB", "20 of 150 MB"]
