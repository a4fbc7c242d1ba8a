"""Logins by programs that a kubeconfig names: a missing one is reported, and they run only when needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from sandbox.kube.api import Cluster, ClusterError
from tests.support.api_server import serving
from tests.support.programs import make_program

CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}


def kubeconfig(folder: Path, script: str | None, server: str) -> Path:
    """Return a kubeconfig whose user logs in by a shell script, absent if that is None."""
    login = folder / "login"
    if script is not None:
        make_program(login, script)
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {"exec": {"apiVersion": CREDENTIAL["apiVersion"], "command": str(login)}}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(content))
    return path


def token(ends: datetime) -> str:
    status = {"token": "secret", "expirationTimestamp": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    return f"echo '{json.dumps({**CREDENTIAL, 'status': status})}'"


ANONYMOUS = b'{"message": "namespaces is forbidden: User \\"system:anonymous\\" cannot patch"}'


@pytest.mark.parametrize(("status", "answer"), [(401, b'{"message": "Unauthorized"}'), (403, ANONYMOUS)])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo log in first >&2; exit 3", "exec: process returned 3. log in first"),
        ("echo nothing", "exec: failed to decode process output"),
        (None, "No such file or directory"),
    ],
)
def test_cluster_without_a_login_names_the_fix(
    tmp_path: Path, script: str | None, said: str, status: int, answer: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A program that a kubeconfig names does not log in → what the API server and the program say, and what to do."""
    with serving() as server:
        server.refusal = (status, answer)
        cluster = Cluster(kubeconfig(tmp_path, script, f"http://127.0.0.1:{server.server_port}"))
        with pytest.raises(ClusterError) as caught:
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    assert json.loads(answer)["message"] in caught.value.details and said in caught.value.details
    assert "kubectl auth whoami" in caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_login_is_used_until_shortly_before_its_end(tmp_path: Path) -> None:
    script = f"echo ran >>{tmp_path}/ran; {token(datetime.now(UTC) + timedelta(minutes=1))}"
    with serving() as server:
        cluster = Cluster(kubeconfig(tmp_path, script, f"http://127.0.0.1:{server.server_port}"))
        assert [cluster.trouble() for _ in range(3)] == [None] * 3
    assert (tmp_path / "ran").read_text() == "ran\n"
