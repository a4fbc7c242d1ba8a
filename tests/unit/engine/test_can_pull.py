"""Whether a registry has an image, by what the engine says of it."""

from __future__ import annotations

import json
import socket

import pytest

from sandbox.engine import engine_images
from sandbox.engine.endpoint import Endpoint
from sandbox.engine.engine_images import Images
from tests.support.http_server import Handler, answering

REFERENCE = f"docker.io/kindest/node:v1.36.4@sha256:{'ab' * 32}"
NO_HOST = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host'


def engine(port: int) -> Images:
    return Images(Endpoint(f"tcp://127.0.0.1:{port}", "the test"))


@pytest.mark.parametrize(
    ("status", "message", "pulled"),
    [
        (200, "", True),
        (401, "unauthorized: authentication required", True),
        (404, "manifest unknown", False),
        (429, "toomanyrequests: You have reached your pull rate limit", False),
        (500, NO_HOST, False),
    ],
)
def test_image_can_be_pulled_where_its_registry_answers(status: int, message: str, pulled: bool) -> None:
    asked: list[str] = []

    class Engine(Handler):
        def do_GET(self) -> None:  # its name in http.server
            asked.append(self.path)
            self.reply(status, json.dumps({"message": message}).encode())

    with answering(Engine) as server:
        assert engine(server.server_port).can_pull(REFERENCE) == pulled
    assert asked[0].endswith(f"/distribution/docker.io/kindest/node@sha256:{'ab' * 32}/json")


def test_engine_that_still_waits_for_a_registry_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "PROBE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not engine(server.getsockname()[1]).can_pull(REFERENCE)
