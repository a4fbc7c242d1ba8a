"""What is said where a cloud's library is not installed, and that none is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_accounts import mint
from sandbox.config.schema.credentials_schema import Acr, Credentials, Ecr, Gcr
from tests.unit.components.credentials.conftest import refusal

Write = Callable[[Any], Path]


@pytest.mark.parametrize(
    ("entry", "package", "brief"),
    [
        (Ecr(kind="ecr", region="eu-central-1"), "botocore", "AWS's library is not installed"),
        (Gcr(kind="gcr"), "google.auth", "Google's library is not installed"),
        (Acr(kind="acr", registry="a.azurecr.io"), "azure.identity", "Microsoft's library is not installed"),
    ],
)
def test_absent_library_is_named_with_its_command(
    entry: Credentials, package: str, brief: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(write({"type": "service_account"}))}
    error = refusal(lambda: mint(entry, environ, now=datetime.now(UTC)))
    assert error.brief == brief
    assert f"credentials of kind {entry.kind} need" in error.details
    assert error.fix == f"{sys.executable} -m pip install 'kube-sandbox[{entry.kind}]'"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "pipx_metadata.json").write_text("{}")
    error = refusal(lambda: mint(entry, environ, now=datetime.now(UTC)))
    assert error.fix == f"pipx runpip kube-sandbox install 'kube-sandbox[{entry.kind}]'"
    assert error.id == "credentials"


def test_no_library_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "import sandbox.components.credentials.registry_accounts, sandbox.components.credentials.renewal_daemon\n"
        "print([name for name in ('botocore', 'google.auth', 'azure.core', 'msal') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
