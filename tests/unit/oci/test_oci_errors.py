"""Refusals of registries in words."""

from __future__ import annotations

import json

import pytest

from sandbox.oci.oci_errors import from_response

WORDS = "write /var/lib/registry/docker/registry/v2/repositories/app/_uploads/1/data: no space left on device"
NUMBER = {"DriverName": "filesystem", "Enclosed": {"Op": "write", "Path": "/var/lib/registry/data", "Err": 28}}


@pytest.mark.fault(17)
@pytest.mark.parametrize("detail", [WORDS, NUMBER], ids=["distribution 3", "distribution 2"])
def test_a_full_disk_is_reported_and_not_tried_again(detail: object) -> None:
    """The registry answers 500 and says in the details that its disk is full → told so, not as a passing failure."""
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": detail}]})
    error = from_response("PATCH http://localhost:5001/v2/app/blobs/uploads/1", 500, body.encode())
    assert (error.brief, error.transient) == ("the registry's disk is full", False)
    assert "images gc" in error.fix


def test_denial_without_a_code_has_the_fix_of_denials() -> None:
    error = from_response("GET https://r.example/v2/app/tags/list", 403, b"<html>no</html>")
    assert "account" in error.fix and not error.codes
    assert not from_response("GET https://r.example/v2/", 404, b"").fix


def test_another_failure_of_the_server_may_pass() -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": {"Err": 280}}]})
    error = from_response("PUT http://localhost:5001/v2/app/manifests/1", 500, body.encode())
    assert error.transient and "full" not in error.brief
