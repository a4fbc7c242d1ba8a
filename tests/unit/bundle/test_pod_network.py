"""The node's part of the pod network, which follows the nodes of the cluster, with a routing table in a file."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.recipe import recipes
from tests.support.programs import make_program

SCRIPT = recipes()["node"].folder / "files/usr/local/bin/pod-network"
OWN = "unreachable 10.244.0.0/24"
# `ip -4 route show|replace|del`, over lines as iproute2 prints them.
IP = r"""
ip() {
  local version=$1 verb=$3 table=$tables/routes$1 range=$4 line="$4 $5 ${6:-} dev eth0"
  [[ $4 != unreachable ]] || range="$4 $5" line="$4 $5"
  touch "$table"
  case $verb in
    show) if [[ ${!#} == link ]]; then echo "172.18.0.0/16 proto kernel src 172.18.0.2"; else cat "$table"; fi ;;
    replace) sed -i "\#^$range #d" "$table"; echo "$line " >>"$table" ;;
    del)
      grep -q "^${line% dev*} " "$table" || echo "RTNETLINK answers: No such process" >&2
      sed -i "\#^${line% dev*} #d" "$table"
      ;;
  esac
}
"""


def follow(folder: Path, *events: str, host: str = "one", how: str = "keep") -> tuple[list[str], dict[str, Any]]:
    """The routes after these events, and the plugin's configuration; a pause is an event of its own."""
    program = (
        f"source {SCRIPT}\ntables={folder} plugin_file={folder}/cni/plugin HOSTNAME={host} quiet=0.05\n{IP}\n{how}"
    )
    said = "\n".join("sleep 0.2" if event == "pause" else f"echo '{event}'" for event in events)
    done = subprocess.run(["bash", "-c", f"({said}) | ({program})"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = [line for path in sorted(folder.glob("routes-*")) for line in path.read_text().splitlines()]
    file = folder / "cni" / "plugin"
    return sorted(line.strip() for line in lines), json.loads(file.read_text()) if file.exists() else {}


def test_other_pods_route_by_node_and_own_range_is_the_plugins(tmp_path: Path) -> None:
    routes, plugin = follow(tmp_path, "ADDED|one|172.18.0.2|10.244.0.0/24", "ADDED|two|172.18.0.3|10.244.1.0/24")
    assert routes == ["10.244.1.0/24 via 172.18.0.3 dev eth0", OWN]
    (ptp, portmap) = plugin["plugins"]
    assert ptp["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]
    assert ptp["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert (portmap["backend"], portmap["capabilities"]) == ("nftables", {"portMappings": True})


def test_a_pods_port_is_not_taken_at_addresses_of_services(tmp_path: Path) -> None:
    _, plugin = follow(tmp_path, "ADDED|one|172.18.0.2|10.244.0.0/24")
    assert plugin["plugins"][1]["conditionsV4"] == ["ip daddr != 172.18.128.0/17"]


def test_a_node_without_a_range_is_waited_for(tmp_path: Path) -> None:
    assert follow(tmp_path, "ADDED|one|172.18.0.2|", "ADDED|two||10.244.1.0/24") == ([], {})


def test_changed_and_removed_node_addresses_are_followed(tmp_path: Path) -> None:
    first = ("ADDED|one|172.18.0.2|10.244.0.0/24", "ADDED|two|172.18.0.3|10.244.1.0/24", "pause")
    moved, _ = follow(tmp_path, *first, "MODIFIED|two|172.18.0.9|10.244.1.0/24")
    assert moved == ["10.244.1.0/24 via 172.18.0.9 dev eth0", OWN]
    gone, _ = follow(tmp_path, *first, "DELETED|two|172.18.0.9|10.244.1.0/24")
    assert gone == [OWN]


def test_range_the_node_lost_is_no_longer_answered_for(tmp_path: Path) -> None:
    follow(tmp_path, "ADDED|one|172.18.0.2|10.244.0.0/24")
    routes, _ = follow(tmp_path, "ADDED|one|172.18.0.2|10.244.3.0/24", "ADDED|two|172.18.0.3|10.244.0.0/24")
    assert routes == ["10.244.0.0/24 via 172.18.0.3 dev eth0", "unreachable 10.244.3.0/24"]


def test_a_node_that_starts_again_answers_for_the_ranges_it_had(tmp_path: Path) -> None:
    _, before = follow(tmp_path, "ADDED|one|172.18.0.2|10.244.0.0/24 fd00:10:244::/64")
    for table in tmp_path.glob("routes-*"):
        table.unlink()
    program = f"source {SCRIPT}\ntables={tmp_path} plugin_file={tmp_path}/cni/plugin\n{IP}\nplugin"
    subprocess.run(["bash", "-c", program], check=True)
    routes, after = follow(tmp_path, "pause")
    assert routes == [OWN, "unreachable fd00:10:244::/64"] and after == before


def test_changes_missed_while_not_watching_are_applied(tmp_path: Path) -> None:
    follow(tmp_path, "ADDED|two|172.18.0.3|10.244.1.0/24", "ADDED|three|172.18.0.4|10.244.2.0/24")
    routes, _ = follow(tmp_path, "ADDED|three|172.18.0.5|10.244.2.0/24", "ADDED|four|172.18.0.6|10.244.1.0/24")
    assert routes == ["10.244.1.0/24 via 172.18.0.6 dev eth0", "10.244.2.0/24 via 172.18.0.5 dev eth0"]


def test_routes_stay_while_only_the_own_node_may_be_seen(tmp_path: Path) -> None:
    own = "ADDED|one|172.18.0.2|10.244.0.0/24"
    before, _ = follow(tmp_path, own, "ADDED|two|172.18.0.3|10.244.1.0/24")
    assert follow(tmp_path, own, "pause", how="keep_own")[0] == before


def test_both_families_have_their_own_way(tmp_path: Path) -> None:
    routes, plugin = follow(
        tmp_path,
        "ADDED|one|172.18.0.2 fd00::2|10.244.0.0/24 fd00:10:244::/64",
        "ADDED|two|172.18.0.3 fd00::3|10.244.1.0/24 fd00:10:244:1::/64",
    )
    ways = ["10.244.1.0/24 via 172.18.0.3 dev eth0", "fd00:10:244:1::/64 via fd00::3 dev eth0"]
    assert routes == [*ways, OWN, "unreachable fd00:10:244::/64"]
    ipam = plugin["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:10:244::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


# Says what it was called with and sent, keeps the certificates, and answers what it finds.
SOCAT = """#!/bin/bash
cd "${0%/*}"
[[ $* =~ cafile=([^,]*),cert=([^,]*), ]] && cat "${BASH_REMATCH[@]:1}" >certificates 2>/dev/null
{ echo "$*"; cat; } >asked
cat answer
"""


def node_event(kind: str, name: str, addresses: list[str], ranges: list[str]) -> str:
    """An event as the API server writes it, with texts of others that look like its fields."""
    told = [{"type": "InternalIP", "address": one} for one in addresses] + [{"type": "Hostname", "address": name}]
    lookalike = json.dumps({"podCIDRs": ["10.9.9.0/24"]}, separators=(",", ":"))
    metadata = {"name": name, "annotations": {"last-applied": lookalike, "podCIDRs": "10.9.9.0/24"}}
    spec = {"podCIDR": ranges[0], "podCIDRs": ranges} if ranges else {}
    node = {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"addresses": told}}
    return json.dumps({"type": kind, "object": node}, separators=(",", ":"))


def watched(folder: Path, *lines: str, status: str = "200 OK", user: str = "") -> tuple[list[str], str]:
    """The lines that the script makes of an answer, and what it says besides."""
    make_program(folder / "socat", SOCAT)
    (folder / "answer").write_text(
        "\r\n".join((f"HTTP/1.0 {status}", "Content-Type: application/json", "", "\n".join(lines)))
    )
    authority = base64.b64encode(b"the CA\n").decode()
    (folder / "account").write_text(
        f"clusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: https://demo:6443\n{user}"
    )
    program = f"source {SCRIPT}\naccount={folder}/account pem={folder}/pem\nevents '&fieldSelector=x'"
    environment = {"PATH": f"{folder}:{os.defpath}:/usr/bin"}
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines(), done.stderr


def test_events_of_the_api_server_are_read_of_both_families(tmp_path: Path) -> None:
    lines, said = watched(
        tmp_path,
        node_event("ADDED", "one", ["172.18.0.2", "fd00::2"], ["10.244.0.0/24", "fd00:10:244::/64"]),
        node_event("MODIFIED", "two", ["172.18.0.3"], []),
        node_event("DELETED", "three", [], ["10.244.2.0/24"]),
        node_event("ERROR", "four", [], []),
    )
    one, *others = lines
    assert one in (
        "ADDED|one|172.18.0.2 fd00::2 |10.244.0.0/24 fd00:10:244::/64",
        "ADDED|one|fd00::2 172.18.0.2 |10.244.0.0/24 fd00:10:244::/64",
    )
    assert others == ["MODIFIED|two|172.18.0.3 |", "DELETED|three||10.244.2.0/24"]
    assert said == ""
    called, request, *headers = (tmp_path / "asked").read_text().splitlines()
    assert "OPENSSL:demo:6443," in called
    assert request == "GET /api/v1/nodes?watch=true&fieldSelector=x HTTP/1.0"
    assert headers[:3] == ["Host: kubernetes", "Accept: application/json", ""]


def test_account_has_its_certificate_within_or_in_a_file(tmp_path: Path) -> None:
    within = "".join(
        f"    client-{part}-data: {base64.b64encode(part.encode()).decode()}\n" for part in ("certificate", "key")
    )
    watched(tmp_path, user=within)
    assert (tmp_path / "certificates").read_text() == "the CA\ncertificatekey"
    assert (tmp_path / "pem").stat().st_mode & 0o077 == 0
    file = tmp_path / "current.pem"
    file.write_text("another")
    watched(tmp_path, user=f"    client-certificate: {file}\n    client-key: {file}\n")
    assert (tmp_path / "certificates").read_text() == "the CA\nanother"


def test_refused_watch_has_no_events_and_is_told(tmp_path: Path) -> None:
    assert watched(tmp_path, '{"kind":"Status"}', status="403 Forbidden") == ([], "HTTP/1.0 403 Forbidden\n")


@pytest.mark.parametrize(
    ("version", "pods", "services"),
    [("ip", "10.244.0.0/16", "10.96.0.0/16"), ("ip6", "fd00:10:244::/56", "fd00:10:96::/112")],
)
def test_services_no_rule_has_routed_stay_on_the_node(version: str, pods: str, services: str) -> None:
    program = f"source {SCRIPT}\nnft() {{ cat; }}\nrules {version} {pods} {services}"
    said = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in said.splitlines()]
    assert f"{version} daddr {services} drop" in lines
    assert f"{version} saddr {pods} {version} daddr != {pods} masquerade" in lines
