"""What of a container's files is taken: its own changes, and nothing that the engine mounts or recreates."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.engine import Engine, EngineError, container_copy

CHANGED, ADDED, DELETED = 0, 1, 2


class Api:
    """An engine with one container: its changes, its mounts, and its files by their paths."""

    timeout = 60

    def __init__(self, diff: Mapping[str, int], files: Mapping[str, bytes], mounts: Sequence[str] = ()) -> None:
        self.changes, self.files, self.mounts = diff, files, mounts
        self.asked: list[str] = []
        self.body: dict[str, Any] = {}
        self.given: dict[str, bytes] = {}

    def diff(self, name: str) -> list[dict[str, Any]]:
        return [{"Path": path, "Kind": kind} for path, kind in self.changes.items()]

    def inspect_container(self, name: str) -> dict[str, Any]:
        return {"Mounts": [{"Destination": place, "Type": "bind"} for place in self.mounts]}

    def _url(self, pattern: str, name: str) -> str:
        return pattern.format(name)

    def _get(self, url: str, *, params: Mapping[str, str], headers: Mapping[str, str], stream: bool) -> Any:
        assert headers["Accept-Encoding"] == "identity", "else the engine compresses"
        pieces, _ = self.get_archive(url, params["path"])
        return SimpleNamespace(raw=io.BytesIO(b"".join(pieces)), close=lambda: None)

    def _raise_for_status(self, response: object) -> None:
        pass

    def get_archive(self, name: str, path: str) -> tuple[list[bytes], None]:
        """The file, or the folder with all that is in it, named as the engine does: by the last part of its path."""
        self.asked.append(path)
        out, parent = io.BytesIO(), path.rpartition("/")[0]
        with tarfile.open(fileobj=out, mode="w") as tar:
            for place, data in self.files.items():
                if place == path or place.startswith(f"{path}/"):
                    member = tarfile.TarInfo(place.removeprefix(f"{parent}/"))
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return [out.getvalue()], None

    def create_container_from_config(self, body: dict[str, Any], name: str) -> dict[str, str]:
        self.body = body
        return {"Id": name}

    def put_archive(self, name: str, folder: str, data: Iterable[bytes]) -> None:
        with tarfile.open(fileobj=io.BytesIO(b"".join(data))) as tar:
            self.given |= {f"{folder}/{one.name}": file.read() for one in tar if (file := tar.extractfile(one))}

    def start(self, name: str) -> None:
        self.asked.append("start")

    def wait(self, name: str) -> dict[str, int]:
        return {"StatusCode": 0}

    def logs(self, name: str) -> bytes:
        return b"said"

    def remove_container(self, name: str, **_: object) -> None:
        self.asked.append("remove")


def taken(api: Api) -> dict[str, bytes]:
    engine = Engine(None)
    engine._slow = api
    content = container_copy.changes(engine, "node")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {one.name: file.read() for one in tar if (file := tar.extractfile(one))}


def test_own_changes_are_taken_without_mounted_or_recreated_paths() -> None:
    files = {
        "/etc/kubernetes/resolv.conf": b"mounted",
        "/etc/kubernetes/own": b"own",
        "/etc/profile": b"p",
        "/etc/hosts": b"h",
        "/var/x": b"x",
    }
    diff = {"/etc": CHANGED, "/etc/kubernetes": ADDED, "/etc/profile": CHANGED, "/etc/hosts": CHANGED}
    diff |= {"/var": CHANGED, "/var/x": ADDED, "/run/lock": DELETED, "/tmp/a": ADDED}  # noqa: S108
    diff |= {"/usr": CHANGED, "/usr/lib": CHANGED, "/usr/lib/modules": ADDED}
    assert taken(Api(diff, files, ["/lib/modules", "/var", "/etc/kubernetes/resolv.conf"])) == {
        "etc/kubernetes/own": b"own",
        "etc/profile": b"p",
    }
    with pytest.raises(EngineError, match="were removed") as caught:
        taken(Api({"/usr": CHANGED, "/usr/bin/kubectl": DELETED}, {}))
    assert caught.value.details == "/usr/bin/kubectl"


def run(api: Api, exchange: container_copy.Exchange, monkeypatch: pytest.MonkeyPatch, *, shares: bool) -> None:
    engine = Engine(None)
    engine._slow = api
    monkeypatch.setattr(engine, "shares_network", lambda: shares)
    ran = container_copy.run_script(engine, "image", "x", name="copier", volumes={"/v": "data"}, exchange=exchange)
    assert ran == (0, "said") and api.asked[-1] == "remove"


def test_files_of_a_script_are_copied_to_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual machine has a folder of the same name, and a mount of it would lose what is written there."""
    (tmp_path / "in.tar").write_bytes(b"given" * 500)
    api = Api({}, {"/x/out.tar": b"left" * 1000, "/x/other": b"not asked for"})
    exchange = container_copy.Exchange(place="/x", folder=tmp_path, given=("in.tar",), taken=("out.tar",))
    run(api, exchange, monkeypatch, shares=False)
    assert api.body["HostConfig"]["Binds"] == ["data:/v"] and api.body["Volumes"] == {"/x": {}}
    assert api.given == {"/x/in.tar": b"given" * 500}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.tar", "out.tar"]
    assert (tmp_path / "out.tar").read_bytes() == b"left" * 1000
    assert (tmp_path / "out.tar").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("shares", [True, False])
def test_file_that_a_script_did_not_leave_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    """Also where the command has another folder there than the engine: a snapshot would lack its volumes."""
    api, exchange = Api({}, {"/x/a": b"a"}), container_copy.Exchange(place="/x", folder=tmp_path, taken=("a", "b"))
    if shares:
        (tmp_path / "a").touch()
    with pytest.raises(EngineError, match=r"^b did not come out") as caught:
        run(api, exchange, monkeypatch, shares=shares)
    assert str(tmp_path) in caught.value.details and api.asked[-1] == "remove"
    if shares:
        assert api.body["HostConfig"]["Binds"] == ["data:/v", f"{tmp_path}:/x"] and not api.body["Volumes"]
