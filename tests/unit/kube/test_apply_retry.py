"""An object that is applied a moment too early, and one that is refused for good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.apply_retry import attempt
from tests.support.api_server import kubeconfig, serving

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
UNBOUND = 'failed calling webhook "validate.nginx.ingress.kubernetes.io": dial tcp 10.110.13.77:443: connection refused'


@pytest.mark.parametrize(
    ("status", "message", "early"),
    [
        (500, UNBOUND, True),
        (403, "error looking up service account default/default: serviceaccount not found", True),
        (400, 'admission webhook "validate.nginx.ingress.kubernetes.io" denied the request: host is taken', False),
        (403, "configmaps is forbidden", False),
    ],
)
def test_what_is_only_too_early_is_told_from_what_is_refused(
    tmp_path: Path, status: int, message: str, early: bool
) -> None:
    with serving() as server:
        kubeconfig(tmp_path / "config", server.server_address[1])
        cluster = Cluster(tmp_path / "config")
        server.refusal = (status, json.dumps({"kind": "Status", "message": message}).encode())
        if early:
            assert attempt(cluster, OBJECT) == message
        else:
            with pytest.raises(ClusterError, match="applying ConfigMap default/a failed"):
                attempt(cluster, OBJECT)
        server.refusal = None
        assert attempt(cluster, OBJECT) is None
