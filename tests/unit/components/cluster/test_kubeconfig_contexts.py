"""One context as a file of its own leads where it led among others."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.kubeconfig_lock import KubeconfigError
from sandbox.errors import UsageError


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any], name: str = "team") -> Path:
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": "theirs"}}],
        "current-context": "another",
    }
    path.write_text(yaml.safe_dump(content))
    return path


def alone(*paths: Path, context: str = "team") -> dict[str, Any]:
    return dict(yaml.safe_load(kubeconfig.single_context(paths, context, "mine")))


def test_file_references_are_inlined_and_namespace_is_ours(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"ca")
    found = alone(write(tmp_path / "k", {"server": "https://x", "certificate-authority": "ca.crt"}, {"token": "t"}))
    assert found["clusters"] == [
        {
            "name": "team",
            "cluster": {"server": "https://x", "certificate-authority-data": base64.b64encode(b"ca").decode()},
        }
    ]
    assert found["users"] == [{"name": "team", "user": {"token": "t"}}]
    assert found["contexts"][0]["context"] == {"cluster": "team", "user": "team", "namespace": "mine"}
    assert found["current-context"] == "team"


def test_exec_credentials_stay_as_they_are(tmp_path: Path) -> None:
    user = {"exec": {"command": "bin/login", "args": ["x"]}, "tokenFile": "token"}
    found = alone(write(tmp_path / "k", {"server": "https://x"}, user))["users"][0]["user"]
    assert found == {
        "exec": {"command": str(tmp_path / "bin/login"), "args": ["x"]},
        "tokenFile": str(tmp_path / "token"),
    }
    plain = alone(write(tmp_path / "k", {"server": "https://x"}, {"exec": {"command": "aws"}}))["users"][0]["user"]
    assert plain == {"exec": {"command": "aws"}}


def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"server": "https://first"}, {})
    second = write(tmp_path / "b", {"server": "https://second"}, {})
    assert alone(first, second, tmp_path / "absent")["clusters"][0]["cluster"] == {"server": "https://first"}


def test_unknown_context_is_an_error_naming_the_existing_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        alone(write(tmp_path / "k", {}, {}, name="other"))
    assert caught.value.details == f"{tmp_path / 'k'}: other"


def test_entries_of_the_context_must_exist(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("contexts: [{name: team, context: {cluster: c, user: u}}]")
    with pytest.raises(KubeconfigError, match="not among the clusters"):
        alone(tmp_path / "k")
    with pytest.raises(KubeconfigError, match="cannot be used"):
        alone(write(tmp_path / "k", {"certificate-authority": "absent"}, {}))


@pytest.mark.parametrize("user", [{"exec": 5}, {"exec": {"command": 5}}, {"tokenFile": 5}, {"client-key": []}])
def test_entry_of_another_form_is_an_error(tmp_path: Path, user: Any) -> None:
    with pytest.raises(KubeconfigError, match=r"'u' of the users in .* cannot be used"):
        alone(write(tmp_path / "k", {"server": "https://x"}, user))
