"""The kubeconfig that `sandbox kubeconfig` prints, tried with kubectl."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.application import Application
from tests.real.machine import kubectl

pytestmark = pytest.mark.real


def written(up: Application, folder: Path, *options: str) -> Path:
    path = folder / "kubeconfig"
    path.write_text(up.command("kubeconfig", *options).out)
    return path


def test_read_only_account_reads_pods_and_neither_secrets_nor_nodes(up: Application, tmp_path: Path) -> None:
    config = written(up, tmp_path, "--read-only")
    assert "Running" in kubectl(config, "get", "pods", "--all-namespaces")
    for refused in (("get", "secrets", "-A"), ("delete", "pods", "--all"), ("get", "nodes"), ("create", "ns", "x")):
        assert "forbidden" in kubectl(config, *refused, status=1), refused


def test_account_of_a_namespace_changes_nothing_elsewhere(up: Application, tmp_path: Path) -> None:
    config = written(up, tmp_path, "--namespace", "default")
    kubectl(config, "create", "configmap", "made-by-account", "--from-literal=a=b")
    kubectl(config, "delete", "configmap", "made-by-account")
    assert "forbidden" in kubectl(config, "get", "pods", "--namespace", "kube-system", status=1)
