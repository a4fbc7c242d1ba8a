"""What commands note in a cluster is believed only as they wrote it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.kube.records import Record, Records
from sandbox.names import Home
from tests.support.api_server import ApiServer, kubeconfig

PLACE = "/api/v1/namespaces/sandbox-system/configmaps/applied"
OTHER = "/api/v1/namespaces/sandbox-system/configmaps/other"


def records(server: ApiServer, state: Path, name: str = "demo") -> Records:
    names = Home(state, state, state).sandbox(name)
    names.folder.mkdir(parents=True, exist_ok=True)
    kubeconfig(names.kubeconfig, server.server_address[1])
    return Records.of(names)


def test_record_is_read_back_as_written(server: ApiServer, tmp_path: Path) -> None:
    mine = records(server, tmp_path)
    assert mine.read("applied") is None
    mine.write("applied", {"a": "1"}, {"kind": "x"})
    assert records(server, tmp_path).read("applied") == {"a": "1"}
    assert mine.list("kind") == (Record("applied", {"kind": "x"}, {"a": "1"}),)
    assert stat.S_IMODE(mine.names.record_key.stat().st_mode) == 0o600
    assert mine.names.record_key.read_bytes().hex() not in str(server.objects)
    mine.delete("applied")
    assert PLACE not in server.objects


@pytest.mark.security(20)
@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["data"].update(a="2"),
        lambda found: found["metadata"]["labels"].update(kind="y"),
        lambda found: found["metadata"]["annotations"].clear(),
        lambda found: found["metadata"].pop("annotations"),
        lambda found: found["metadata"]["annotations"].update({"sandbox.dev/seal": "é"}),
    ],
)
def test_a_changed_record_is_not_believed(
    server: ApiServer, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Another than the user's commands changes a record → it is as if there were none."""
    mine = records(server, tmp_path)
    mine.write("applied", {"a": "1"}, {"kind": "x"})
    change(server.objects[PLACE])
    assert mine.read("applied") is None
    assert mine.list("kind") == ()


@pytest.mark.security(20)
def test_seal_is_valid_for_one_record_of_one_sandbox(server: ApiServer, tmp_path: Path) -> None:
    """A record is copied to another name, or to another sandbox's cluster → it is not believed there."""
    mine, another = records(server, tmp_path), records(server, tmp_path, "another")
    mine.write("applied", {"a": "1"})
    another.write("other", {"a": "1"})
    metadata = {**server.objects[PLACE]["metadata"], "name": "other"}
    server.objects[OTHER] = {**server.objects[PLACE], "metadata": metadata}
    assert mine.read("other") is None
    assert another.read("applied") is None
