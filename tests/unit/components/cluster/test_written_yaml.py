"""What we write as YAML is read by kubectl as it was meant, whatever the names are."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.components.cluster import kubeconfig
from sandbox.config import yaml_text

# What some reader of YAML 1.1 or 1.2 takes for a number, a truth, nothing, a date or a marker.
TRAPS = [
    *("1e3", "12345e67", "0o17", "017", "0x1", "0b1", ".5e3", "1_000", "+1", "-1", "1.", ".inf", ".NaN", "1:30"),
    *("y", "Y", "n", "N", "yes", "no", "on", "off", "true", "False", "null", "Null", "~", "", "=", "<<", "-", "?"),
    *("2026-01-02", "2026-01-02T03:04:05Z", " a", "a ", "a: b", "a #b", "#a", "- a", "{a}", "[a]", "&a", "*a", "!a"),
    *("%a", "@a", "`a", "a\nb", "tab\there", "Zürich", "\u2028", "'", '"', "\\", "|", ">", "---", "...", "a:"),
]


def kubectl(path: Path) -> Any:
    argv = ["kubectl", "config", "view", "--raw", "-o", "json", f"--kubeconfig={path}"]
    return json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@needs_kubectl
@pytest.mark.fault(50)
def test_kubectl_reads_every_name_and_token_as_text(tmp_path: Path) -> None:
    """Contexts are called "1e3", "y", "0o17" and the like → kubectl reads the file that we have changed as before."""
    path, own = tmp_path / "config", tmp_path / "own"
    names = [name for name in TRAPS if name]
    theirs = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": one, "cluster": {"server": f"https://{number}"}} for number, one in enumerate(names)],
        "users": [{"name": one, "user": {"token": one, "password": one, "username": one}} for one in names],
        "contexts": [{"name": one, "context": {"cluster": one, "user": one}} for one in names],
        "current-context": "1e3",
    }
    path.write_text(json.dumps(theirs))
    before = kubectl(path)
    ours = {
        "clusters": [{"name": "kind", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "kind", "user": {"token": "1e3"}}],
    }
    own.write_text(json.dumps(ours))
    kubeconfig.merge(path, "sandbox-demo", own)
    assert kubectl(path)["current-context"] == "sandbox-demo"
    assert kubeconfig.remove(path, "sandbox-demo")
    assert kubectl(path) == before
    for name in ("1e3", "y"):
        own.write_bytes(kubeconfig.single_context([path], name, "1e3"))
        found = kubectl(own)
        assert found["current-context"] == name and found["users"][0]["user"]["token"] == name
        assert found["contexts"][0]["context"]["namespace"] == "1e3"


@settings(max_examples=30)
@given(st.recursive(st.text() | st.sampled_from(TRAPS), lambda inner: st.dictionaries(st.text(), inner, max_size=3)))
def test_yaml_is_read_back_as_written(content: Any) -> None:
    assert yaml_text.document(yaml_text.dump(content)) == content
