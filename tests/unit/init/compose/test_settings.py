"""Settings of a compose service in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.init.compose import settings


def read(service: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    left_out: list[str] = []
    return settings.fields(service, left_out), left_out


@pytest.mark.parametrize(
    ("service", "resources"),
    [
        ({"cpus": 0.5, "mem_limit": "1g"}, {"limits": {"cpu": "500m", "memory": "1024Mi"}, "requests": "00"}),
        ({"deploy": {"resources": {"limits": {"cpus": "2"}}}}, {"limits": {"cpu": "2000m"}, "requests": "0"}),
        ({"mem_reservation": "64m"}, {"requests": {"memory": "64Mi"}}),
        ({"deploy": {"resources": {"reservations": {"memory": "1000"}}}}, {"requests": {"memory": "1000"}}),
        ({"cpus": "many", "mem_limit": "much"}, None),
        ({"cpus": "inf"}, None),
        ({"deploy": {"resources": {"limits": {"cpus": None}}}}, None),
    ],
)
def test_limits_and_reservations_are_resources(service: dict[str, Any], resources: Any) -> None:
    if resources and isinstance(resources["requests"], str):
        resources = {**resources, "requests": dict.fromkeys(resources["limits"], "0")}
    assert read(service)[0]["container"].get("resources") == resources


def test_privileges_memory_and_what_has_no_counterpart_are_read() -> None:
    service = {
        **{"privileged": True, "read_only": True, "cap_add": ["NET_ADMIN", "cap_chown"], "cap_drop": ["ALL"]},
        **{"tmpfs": ["/x/:size=64m", "z"], "shm_size": "1gb"},
        "volumes": [{"type": "tmpfs", "target": "/y", "tmpfs": {"size": 1024}}],
        "deploy": {"mode": "global", "resources": {"limits": {"pids": 1}, "reservations": {"cpus": "1"}}},
    }
    result, left_out = read(service)
    assert result["container"]["securityContext"] == {
        "privileged": True,
        "readOnlyRootFilesystem": True,
        "capabilities": {"add": ["NET_ADMIN", "CHOWN"], "drop": ["ALL"]},
    }
    assert result["memory"] == {"/x": "64Mi", "/y": "1Ki", settings.SHARED_MEMORY: "1024Mi"}
    resources = ["deploy.resources.limits.pids", "deploy.resources.reservations.cpus"]
    assert left_out == ["deploy.mode", *resources, "tmpfs.z"]


@pytest.mark.parametrize(
    ("service", "replicas"), [({"scale": 2}, 2), ({"deploy": {"replicas": "0"}}, 0), ({"scale": "x"}, None), ({}, None)]
)
def test_replicas_are_counted(service: dict[str, Any], replicas: int | None) -> None:
    assert read(service)[0]["replicas"] == replicas
