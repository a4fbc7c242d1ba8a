"""Etcds are known by the names of their nodes, and are told only once."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from sandbox.components.cluster.kind import etcd_peers
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError
from tests.support.fakes import FakeContainer, FakeEngine

NODE = "sandbox-demo-control-plane"


class Etcd(FakeEngine):
    """A control plane whose etcd answers as its JSON API does: numbers of 64 bits are texts."""

    def __init__(self) -> None:
        super().__init__("node")
        spec = ContainerSpec(name=NODE, image="node", command=(), network="none", labels={})
        self.add(FakeContainer(spec, "sha256:node", read_only=False))
        self.members = {f"{NODE}{one}": [f"https://172.18.0.{one}:2380"] for one in (2, 3)}
        self.updates: list[str] = []
        self.programs["sh"] = self._said

    def _said(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        what, body = argv[-2], json.loads(argv[-1])
        if what == "list":
            members = [{"ID": name, "name": name, "peerURLs": urls} for name, urls in self.members.items()]
            return 0, json.dumps({"members": members})
        self.updates.append(body["ID"])
        self.members[body["ID"]] = body["peerURLs"]
        return 0, "{}"


def test_peers_are_named_once() -> None:
    etcd = Etcd()
    etcd_peers.name_peers(etcd, NODE)
    etcd_peers.name_peers(etcd, NODE)
    assert etcd.members == {name: [f"https://{name}:2380"] for name in etcd.members}
    assert etcd.updates == list(etcd.members)


@pytest.mark.parametrize("said", ["", "W1127 slow\n{}", "{}", '{"members": [{"ID": "1", "peerURLs": []}]}', "[]"])
def test_unreadable_list_of_members_is_an_error(said: str) -> None:
    etcd = Etcd()
    etcd.programs["sh"] = lambda box, argv: (0, said)
    with pytest.raises(SandboxError, match="are not known"):
        etcd_peers.name_peers(etcd, NODE)
    assert not etcd.updates
