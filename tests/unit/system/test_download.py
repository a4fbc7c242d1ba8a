"""Downloads by digest, from a server on loopback that also sends the wrong thing."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.system.download import download
from tests.support.http_server import Handler, answering

CONTENT = b"kind: List\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Downloads(Handler):
    """Sends CONTENT at /right, something else at /wrong, and half of it at /half."""

    def do_GET(self) -> None:
        if self.path == "/gone":
            self.send_error(404)
            return
        sent = {"/right": CONTENT, "/wrong": b"<html>login"}.get(self.path, CONTENT[:5])
        self.reply(200, sent, {"Content-Length": str(len(CONTENT))})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with answering(Downloads) as http:
        yield f"http://127.0.0.1:{http.server_port}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "release.yaml"


@pytest.mark.fault(38)
def test_download_is_kept_and_not_repeated(server: str, path: Path) -> None:
    """The server is gone after the first download → the file that is here is used."""
    assert download(f"{server}/right", path, sha256=SHA256) == CONTENT
    assert path.read_bytes() == CONTENT
    assert download(f"{server}/gone", path, sha256=SHA256) == CONTENT


@pytest.mark.fault(36, 63)
@pytest.mark.security(7)
@pytest.mark.parametrize("place", ["/wrong", "/half", "/gone"])
def test_anything_else_is_refused_and_not_kept(server: str, path: Path, place: str) -> None:
    """A file that is half there, another, or gone → refused by its digest and not kept."""
    with pytest.raises(SandboxError) as caught:
        download(server + place, path, sha256=SHA256)
    assert caught.value.id == "download"
    assert server + place in str(caught.value)
    assert str(path) in caught.value.fix
    assert not path.exists()


@pytest.mark.fault(37, 38, 54)
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/right", "https://example.com/right"])
def test_download_without_network_or_by_a_malformed_proxy_has_a_fix(
    path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """No network, or a proxy's URL without an authority → the place where you can put the file yourself."""
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv("https_proxy", "http:/proxy")
    with pytest.raises(SandboxError, match="cannot be downloaded") as caught:
        download(url, path, sha256=SHA256)
    assert caught.value.fix == f"download it on a machine that can, and put it at {path}"


@pytest.mark.fault(63)
@pytest.mark.security(7)
def test_a_file_that_was_changed_is_not_used(path: Path) -> None:
    """A downloaded file was changed → not used; the command that removes it."""
    path.parent.mkdir()
    path.write_bytes(b"kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file") as caught:
        download("http://127.0.0.1:1/", path, sha256=SHA256)
    assert caught.value.fix == f"rm {path}"
