"""The node's script that keeps the ConfigMap, run with a kubectl that tells what it was asked."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path, PurePosixPath

from sandbox.components.certificates import cluster_trust

KUBECTL = """#!/bin/sh
case "$1 $2" in
  "get namespaces") printf 'namespace/one\\nnamespace/gone\\nnamespace/two\\n' ;;
  "create configmap") printf '%s\\n' "$*" >> "$ASKED"; echo "of $4" ;;
  apply*) read -r made; [ "$made" != "of --namespace=gone" ] || exit 1; printf 'applied %s\\n' "$made" >> "$ASKED" ;;
esac
"""


def script(tmp_path: Path) -> list[str]:
    """What the node's script asks kubectl for."""
    asked = tmp_path / "asked"
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    text = cluster_trust.UNIT.files()[cluster_trust.UNIT.program].decode()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ASKED": str(asked)}
    subprocess.run(["sh"], input=text, text=True, check=False, env=environment)
    return asked.read_text().splitlines()


def test_every_namespace_of_the_watch_gets_it_and_one_that_goes_stops_nothing(tmp_path: Path) -> None:
    said = script(tmp_path)
    assert [line for line in said if line.startswith("applied")] == [
        "applied of --namespace=one",
        "applied of --namespace=two",
    ]
    assert f"--from-file=ca.crt={cluster_trust.ROOT}" in said[0]


def test_the_unit_starts_with_the_node_and_comes_back_for_ever() -> None:
    files = cluster_trust.UNIT.files()
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(files[PurePosixPath("/etc/systemd/system/sandbox-trust.service")].decode())
    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert PurePosixPath(unit["Service"]["ExecStart"].split()[-1]) in files
    assert "admin.conf" not in unit["Service"]["Environment"]
    assert unit["Service"]["CapabilityBoundingSet"] == ""
    assert unit["Service"]["NoNewPrivileges"] == "yes"
