"""Who uses a sandbox, by what the edge counts and by the machine's own table of connections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.components.edge.haproxy_admin import Control
from sandbox.components.edge.use import Use, UseCounts
from sandbox.names import Names
from sandbox.system import host_network

HEAD = "# pxname,svname,addr,status,check_status,last_chk,scur,stot,bin,bout"
STAT = f"""{HEAD}
https,FRONTEND,,OPEN,,,9,900,0,0
demo,node,172.20.0.2:443,UP,L4OK,,1,40,0,0
demo,BACKEND,,UP,,,1,40,0,0
demo:http,node,172.20.0.2:443,UP,,,0,2,0,0
tcp:demo:5432,node,172.20.0.2:30000,no check,,,2,3,0,0
demon,node,172.21.0.2:443,UP,L4OK,,7,700,0,0
tcp:demon:5432,node,172.21.0.2:30000,no check,,,7,700,0,0
"""
KUBECONFIG = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:34567'}}]\n"
# 34567 is 8707 in hexadecimal: a client, the server's end of it, one that is over, and one of another port.
TABLE = """  sl  local_address rem_address   st tx_queue
   0: 0100007F:8707 00000000:0000 0A 00000000
   1: 0100007F:C001 0100007F:8707 01 00000000
   2: 0100007F:8707 0100007F:C001 01 00000000
   3: 0100007F:C002 0100007F:8707 06 00000000
   4: 0100007F:C003 0100007F:8708 01 00000000
"""


class Edge(Control):
    """It answers as HAProxy does, and notes its orders."""

    told: list[str] = []
    stat: str = STAT

    def ask(self, command: str) -> str:
        if command == "@1 show stat":
            return self.stat
        if command == "show proc":
            return "#<PID> <type>\n1 master\n7 worker\n5 worker\n"
        self.told.append(command)
        return ""


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Edge:
    table = tmp_path / "tcp"
    table.write_text(TABLE, encoding="utf-8")
    monkeypatch.setattr(host_network, "CONNECTIONS", (table, tmp_path / "absent"))
    monkeypatch.setattr(Edge, "told", [])
    return Edge(tmp_path / "master.sock")


def test_use_is_that_of_the_sandbox_alone(edge: Edge, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names.kubeconfig.parent.mkdir(parents=True)
    names.kubeconfig.write_text(KUBECONFIG, encoding="utf-8")
    seen = Use(names, edge).read()
    assert (seen.total, seen.open) == (45, 3)
    assert seen.api == {"0100007F:C0010100007F:8707"}
    names.paused.write_bytes(seen.to_json())
    assert UseCounts.read(names.paused) == seen
    assert seen.is_used(replace(seen, api=frozenset())) and not seen.is_used(seen)
    monkeypatch.setattr(Edge, "stat", STAT.replace("443,UP,L4OK,,1", "443,DOWN,L4CON,,1"))
    assert not Use(names, edge).read().healthy


def test_servers_are_trusted_asked_again_and_cut_off(edge: Edge, names: Names) -> None:
    use = Use(names, edge)
    use.trust_servers(healthy=True)
    assert edge.told[:2] == ["@1 disable health demo/node", "@1 set server demo/node health up"]
    assert not any("demon" in command for command in edge.told)
    edge.told.clear()
    use.trust_servers(healthy=False)
    assert edge.told == [f"@1 enable health {place}/node" for place in ("demo", "demo:http", "tcp:demo:5432")]
    edge.told.clear()
    use.cut()
    assert {command.split()[0] for command in edge.told} == {"@!7", "@!5"}
    assert len(edge.told) == 6
