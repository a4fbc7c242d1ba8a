"""The script by which units on nodes watch the cluster: with a socat and a kubectl that tell what they were asked."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.components import node_unit
from sandbox.system import files
from tests.support.programs import make_program

SCRIPT = files.packaged(node_unit.__package__, "scripts/watch.sh")
KUBECTL = """#!/bin/sh
echo "kubectl $*"
"""
SLEEP = "#!/bin/sh\nexec /bin/sleep 0.02\n"  # whatever it is told
# It answers once it has the request, and keeps what it was called with, what it was sent and the CA it would trust. The
# last event comes a moment later, unless it has no more to read by then.
SOCAT = """#!/bin/bash
[ "$1" != -V ] || { [ "$TLS" = 0 ] || echo "  #define WITH_OPENSSL 1"; exit; }
[ ! -e "$PLACE/arguments" ] || ANSWER=${LATER:-$ANSWER}
echo "$2" > "$PLACE/arguments"
[[ $2 =~ cafile=([^,]*) ]] && cp "${BASH_REMATCH[1]}" "$PLACE/trusted"
while IFS= read -r line && [ "${line%$'\\r'}" ]; do echo "${line%$'\\r'}"; done > "$PLACE/request"
[ "$TLS" != 2 ] || exit
printf '%s\\n' "${ANSWER%$'\\n'*}"
read -rt 0.2 _
(($? <= 128)) || echo "${ANSWER##*$'\\n'}"
"""
EVENTS = '{"type":"ADDED"}\n{"type":"MODIFIED"}\n'
PATH = "/api/v1/services?watch=true"


def watched(folder: Path, *, status: str = "200 OK", later: str = "", tls: int = 1, ca: str = "a CA") -> Any:
    """Run the script with a server that gives this answer, and from the second time on the later one."""
    for name, text in (("kubectl", KUBECTL), ("socat", SOCAT), ("sleep", SLEEP)):
        make_program(folder / name, text)
    data = base64.b64encode(ca.encode()).decode()
    cluster = f"{{server: 'https://demo:6443', certificate-authority-data: '{data}'}}"
    admin = f"{{clusters: [{{name: kind, cluster: {cluster}}}]}}".encode()
    (folder / "kubeconfig").write_bytes(node_unit.kubeconfig(admin, "secret"))
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "KUBECONFIG": str(folder / "kubeconfig"),
        "TMPDIR": str(folder),
        "PLACE": str(folder),
        "TLS": str(tls),
        "ANSWER": f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{EVENTS.strip()}",
        "LATER": later and f"HTTP/1.0 {later}\r\n\r\n{EVENTS.strip()}",
    }
    words = ["bash", "-c", SCRIPT, "watch.sh", PATH]
    return subprocess.run(words, env=environment, text=True, capture_output=True, check=False, timeout=30)


def test_events_come_by_tls_from_the_server_of_the_kubeconfig(tmp_path: Path) -> None:
    assert watched(tmp_path).stdout == EVENTS
    assert (tmp_path / "arguments").read_text().startswith("OPENSSL:demo:6443,")
    assert (tmp_path / "trusted").read_text() == "a CA"
    assert (tmp_path / "request").read_text().splitlines()[0] == f"GET {PATH} HTTP/1.0"
    assert not list(tmp_path.glob("tmp.*"))


def test_token_is_sent_and_in_no_argument(tmp_path: Path) -> None:
    watched(tmp_path)
    assert "Authorization: Bearer secret" in (tmp_path / "request").read_text().splitlines()
    assert "secret" not in (tmp_path / "arguments").read_text()


def test_refusal_is_an_error_and_no_event(tmp_path: Path) -> None:
    done = watched(tmp_path, status="403 Forbidden")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{PATH}: HTTP/1.0 403 Forbidden\n"


def test_rights_that_come_a_moment_later_are_waited_for(tmp_path: Path) -> None:
    assert watched(tmp_path, status="403 Forbidden", later="200 OK").stdout == EVENTS


@pytest.mark.parametrize("lacking", [{"tls": 0}, {"tls": 2}, {"ca": ""}])
def test_kubectl_watches_where_socat_cannot(tmp_path: Path, lacking: dict[str, Any]) -> None:
    assert watched(tmp_path, **lacking).stdout == f"kubectl get --raw {PATH}\n"
    assert not list(tmp_path.glob("tmp.*"))
