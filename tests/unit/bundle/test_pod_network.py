"""What the containers of the pod network do with the ranges of pods that kind writes into their manifest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from sandbox.bundle.recipe import recipes
from tests.support.programs import make_program

MANIFEST = recipes()["node"].folder / "files/kind/manifests/default-cni.yaml"
FOUR, SIX = "10.244.0.0/16", "fd00:10:244::/56"


def run(folder: Path, name: str, ranges: str) -> list[str]:
    """Run the script of the DaemonSet `name` with its program as one that prints its arguments and its API server."""
    text = MANIFEST.read_text().replace("{{ .PodSubnet }}", ranges).replace("/run/", f"{folder}/")
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in yaml.safe_load_all(text) if "spec" in one
    }
    (container,) = pods[name]["containers"]
    (env,) = (one["value"] for one in container["env"] if one["name"] == "POD_SUBNET")
    make_program(folder / name, '#!/bin/sh\nprintf "%s\\n" "$@" "$KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT"')
    told = {"PATH": f"{folder}:/usr/bin:/bin", "POD_SUBNET": env, "CONTROL_PLANE_ENDPOINT": "node-a:6443"}
    argv = container["command"][1:]
    return subprocess.run(argv, env=told, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("ranges", "networks"),
    [(FOUR, {"Network": FOUR}), (f"{FOUR},{SIX}", {"Network": FOUR, "IPv6Network": SIX}), (SIX, {"IPv6Network": SIX})],
)
def test_flannel_gets_a_network_for_each_family(tmp_path: Path, ranges: str, networks: dict[str, str]) -> None:
    assert run(tmp_path, "flannel", ranges)[-1] == "node-a 6443"
    found = json.loads((tmp_path / "net-conf.json").read_text())
    assert {key: found[key] for key in ("Network", "IPv6Network") if key in found} == networks
    assert (found["EnableIPv4"], found["EnableIPv6"]) == ("Network" in networks, "IPv6Network" in networks)


@pytest.mark.parametrize(("ranges", "last"), [(FOUR, {"ipv4"}), (f"{FOUR},{SIX}", {"ipv4", "ipv6"})])
def test_kube_router_runs_as_a_firewall_for_each_family(tmp_path: Path, ranges: str, last: set[str]) -> None:
    *arguments, server = run(tmp_path, "kube-router", ranges)
    assert server == "node-a 6443"
    assert {"--run-router=false", "--run-service-proxy=false"} <= set(arguments)
    assert {family for family in ("ipv4", "ipv6") if f"--enable-{family}=true" in arguments} == last
