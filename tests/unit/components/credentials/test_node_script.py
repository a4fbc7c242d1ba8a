"""The node's script that delivers accounts, run with a kubectl that tells what it was asked."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox.components.credentials import kept_secret, pod_credentials
from sandbox.components.node_unit import WATCHER
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.names import SYSTEM_NAMESPACE
from tests.support.programs import make_program

# What a watch of service accounts and `get secret` answer is in files; objects are told by what they are made with.
KUBECTL = """#!/bin/sh
case "$1 $2" in
  "get --raw") while read -r namespace name; do
    printf '{"type":"ADDED","object":{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"%s",' "$name"
    printf '"generateName":"x-","namespace":"%s","uid":"u"}}}\\n' "$namespace"
    done < "$PLACE/accounts" ;;
  "get secret") cat "$PLACE/$3" ;;
  "get serviceaccount") cat "$PLACE/named-$3" 2>/dev/null; true ;;
  "create secret") echo "made $4 $5 $(cat)" ;;
  "label --local") read -r made; echo "$made $4" ;;
  apply*) cat >> "$PLACE/asked" ;;
  "patch serviceaccount") echo "patch $3 $4 $6" >> "$PLACE/asked" ;;
esac
"""
INJECTED = (
    '* x"}} {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "evil"}}'
)


def run(tmp_path: Path, accounts: str, secrets: dict[str, str], entries: Sequence[Credentials]) -> list[str]:
    """What the script makes kubectl do."""
    make_program(tmp_path / "kubectl", KUBECTL)
    for name, content in {"accounts": accounts, **secrets}.items():
        (tmp_path / name).write_text(content)
    unit = pod_credentials.secrets_unit(entries)
    listed = tmp_path / "list"
    listed.write_bytes(unit.data[pod_credentials.LIST])
    (tmp_path / "watch.sh").write_bytes(unit.files()[WATCHER])
    (tmp_path / "kubeconfig").write_text("")
    text = unit.script.replace(str(pod_credentials.LIST), str(listed)).replace(str(WATCHER), f"{tmp_path}/watch.sh")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": f"{tmp_path}/kubeconfig", "PLACE": str(tmp_path)}
    subprocess.run(["sh"], input=text, text=True, check=False, env=environment, timeout=60)
    asked = tmp_path / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_script_has_the_names_of_the_code() -> None:
    script = pod_credentials.secrets_unit(()).script
    others = ",".join(f"metadata.namespace!={name}" for name in kept_secret.OURS)
    words = (f"others='{others}'", f"namespace={SYSTEM_NAMESPACE} ", f'.data "{kept_secret.KEY}"')
    assert all(
        word in script
        for word in (*words, f"{kept_secret.LABEL}={kept_secret.COPY} ", f"done < {pod_credentials.LIST}")
    )


def test_accounts_have_what_is_meant_for_them(tmp_path: Path) -> None:
    data = base64.b64encode(b"{}").decode()
    entries: list[Credentials] = [Docker(kind="docker"), Gcr(kind="gcr", namespaces=("shop",))]
    accounts = "shop default\nshop robot\nother default\n"
    secrets = {"dpr-secret": data, "gcr-secret": data}
    asked = run(tmp_path, accounts, {**secrets, "named-robot": "dpr-secret own"}, entries)
    assert [line for line in asked if line.startswith("made")] == [
        f"made {secret} --namespace={space} {{}} sandbox.dev/credentials=copy"
        for space, secret in (("shop", "dpr-secret"), ("shop", "gcr-secret"), ("other", "dpr-secret"))
    ]
    begin = '--patch=[{"op":"add","path":"/imagePullSecrets","value":[{"name":"%s"}]}]'
    append = '--patch=[{"op":"add","path":"/imagePullSecrets/-","value":{"name":"%s"}}]'
    assert [line for line in asked if line.startswith("patch")] == [
        f"patch default --namespace=shop {begin % 'dpr-secret'}",
        f"patch default --namespace=shop {begin % 'gcr-secret'}",
        f"patch robot --namespace=shop {append % 'gcr-secret'}",
        f"patch default --namespace=other {begin % 'dpr-secret'}",
    ]


@pytest.mark.security(20)
@pytest.mark.parametrize("data", [INJECTED, "", 'e30="}} {"kind": "ClusterRoleBinding"}', "e30=\nmore"])
def test_data_that_is_not_base64_is_not_delivered(tmp_path: Path, data: str) -> None:
    """A kept Secret is changed to hold JSON of another object → the node's unit applies nothing of it."""
    asked = run(tmp_path, "shop default \n", {"dpr-secret": data}, [Docker(kind="docker")])
    assert asked == []


@pytest.mark.security(20)
def test_an_account_with_an_odd_name_is_passed_over(tmp_path: Path) -> None:
    """A watch tells a name that no service account can have → nothing is made of it."""
    accounts = '--all-namespaces default \nshop $(id) \nshop --kubeconfig=/x/ \n"}}{" default\n'
    data = base64.b64encode(b"{}").decode()
    assert run(tmp_path, accounts, {"dpr-secret": data}, [Docker(kind="docker")]) == []


def test_the_unit_may_read_and_write_its_secrets_alone() -> None:
    unit = pod_credentials.secrets_unit([Docker(kind="docker"), Gcr(kind="gcr")])
    assert all(b"admin.conf" not in content for content in unit.files().values())
    secrets = [rule for rule in (*unit.anywhere, *unit.inside) if rule["resources"] == ["secrets"]]
    assert [rule["verbs"] for rule in secrets] == [["create", "patch"], ["get"]]
    assert all(rule["resourceNames"] == ["dpr-secret", "gcr-secret"] for rule in secrets)
    kinds = {one["kind"] for one in unit.objects()}
    assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
