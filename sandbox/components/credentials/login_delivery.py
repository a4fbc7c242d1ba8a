"""Brings logins to pods: for all namespaces by the kubelet's own file on nodes, for others by pull Secrets.

kind documents the file: https://kind.sigs.k8s.io/docs/user/private-registries/
"""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sandbox.components.credentials.registry_login import Login
from sandbox.config import yaml_text
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError, succeeded
from sandbox.kube.api import Cluster, NotFound
from sandbox.kube.manifests import namespace
from sandbox.system import files

FILE = PurePosixPath("/var/lib/kubelet/config.json")
# A key of the file that the kubelet ignores: for each login the time of its issue and its hosts.
LOGINS = "sandbox.dev/logins"
LABEL = "sandbox.dev/credentials"
ISSUED = "sandbox.dev/issued"

Origin = Literal["spec", "command"]


@dataclass(frozen=True, kw_only=True)
class PodLogin:
    """An entry, the time and hosts of the login that pods got for it, and the state of the entry's file then."""

    entry: Credentials
    origin: Origin
    issued: datetime
    expires: datetime | None
    registries: tuple[str, ...]
    file: str

    @property
    def secret(self) -> str:
        return self.entry.secret

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the only namespaces that have it; empty for a login of all pods."""
        return () if self.entry.namespaces == "all" else self.entry.namespaces

    def is_due(self, now: datetime) -> bool:
        """Compare with two thirds of the login's life: a third is left to solve problems."""
        return self.expires is not None and now >= self.issued + (self.expires - self.issued) * 2 / 3


def file_state(file: Path | None) -> str:
    """Return a value that changes whenever a file does; empty when there is no readable file."""
    try:
        status = file.stat() if file else None
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}" if status else ""


@dataclass(frozen=True)
class NodeLogins:
    """The logins in the kubelet's file on `nodes`; the first one has all that the others have."""

    engine: Engine
    nodes: tuple[str, ...]

    def pending(self, logins: Collection[PodLogin]) -> str | None:
        """Return the first node whose file does not have exactly these logins."""
        issued = {login.secret: login.issued.isoformat() for login in logins}
        for node in self.nodes:
            content = self._read(node)[LOGINS]
            if {name: login["issued"] for name, login in content.items()} != issued:
                return f"{FILE} on {node} does not have the present logins"
        return None

    def write(self, logins: Collection[PodLogin], fresh: Mapping[str, Login], *, at_once: bool) -> None:
        """Have exactly `logins`, of which `fresh` are new.

        The kubelet reads the file again after five minutes; with `at_once` it is restarted.
        """
        content = self._content(logins, fresh)
        for node in self.nodes:
            if self._read(node) == content:
                continue
            if content["auths"]:
                data = json.dumps(content, indent=2).encode()
                self.engine.write_files(node, {FILE: data}, private=[FILE])
            else:
                succeeded(self.engine.execute(node, ["rm", "-f", str(FILE)]), f"{FILE} on {node} cannot be removed")
            if at_once:
                # A node that has not joined yet has no kubelet to restart.
                restarted = self.engine.execute(node, ["systemctl", "try-restart", "kubelet"])
                succeeded(restarted, f"the kubelet of {node} cannot be restarted")

    def _content(self, logins: Collection[PodLogin], fresh: Mapping[str, Login]) -> dict[str, Any]:
        before = self._read(self.nodes[0])
        names = {login.secret for login in logins}
        kept = {name: login for name, login in before[LOGINS].items() if name in names and name not in fresh}
        content: dict[str, Any] = {
            "auths": {host: before["auths"][host] for login in kept.values() for host in login["hosts"]},
            LOGINS: kept,
        }
        for name, login in fresh.items():
            content["auths"] |= login.auths
            content[LOGINS][name] = {"issued": login.issued.isoformat(), "hosts": list(login.auths)}
        return content

    def _read(self, node: str) -> dict[str, Any]:
        data = self.engine.read_files(node, [FILE])[FILE]
        if data is None:
            return {"auths": {}, LOGINS: {}}
        try:
            content = json.loads(data)
        except ValueError:
            content = None
        if not isinstance(content, dict) or LOGINS not in content:
            raise SandboxError(
                f"{FILE} on {node} is not from a sandbox",
                details="credentials of all namespaces are written to this file",
                fix="remove it from the node, or name `namespaces:` for each of `credentials:`",
            )
        return content


@dataclass(frozen=True)
class PullSecrets:
    """A Secret in each of the named namespaces, and service accounts that name it."""

    cluster: Cluster

    def pending(self, login: PodLogin) -> str | None:
        """Return the first place that lacks the login, or has it and should not."""
        secrets = self._secrets(login.secret)
        for space in login.namespaces:
            if (secrets.get(space, {}).get("annotations") or {}).get(ISSUED) != login.issued.isoformat():
                return f"{space} does not have the present Secret {login.secret}"
            for account in self.cluster.list("v1", "ServiceAccount", space):
                if login.secret not in _named(account):
                    return f"the service account {space}/{account['metadata']['name']} does not name {login.secret}"
        for space in secrets.keys() - set(login.namespaces):
            return f"{space} still has the Secret {login.secret}"
        return None

    def write(self, pod_login: PodLogin, login: Login) -> None:
        """Write the Secret into its namespaces, which are created, and have their service accounts name it."""
        config = json.dumps({"auths": login.auths}).encode()
        for space in pod_login.namespaces:
            self.cluster.apply(namespace(space))
            metadata = {
                "name": pod_login.secret,
                "namespace": space,
                "labels": {LABEL: "true"},
                "annotations": {ISSUED: pod_login.issued.isoformat()},
            }
            data = {".dockerconfigjson": base64.b64encode(config).decode()}
            kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson"}
            self.cluster.apply({**kind, "metadata": metadata, "data": data})
            for account in self.cluster.list("v1", "ServiceAccount", space):
                named = _named(account)
                if pod_login.secret not in named:
                    self._name(account, [*named, pod_login.secret])
        self.remove(pod_login.secret, but_in=pod_login.namespaces)

    def remove(self, name: str, *, but_in: Collection[str] = ()) -> None:
        for space in self._secrets(name).keys() - set(but_in):
            for account in self.cluster.list("v1", "ServiceAccount", space):
                named = _named(account)
                if name in named:
                    self._name(account, [other for other in named if other != name])
            self.cluster.delete("v1", "Secret", name, space)

    def admit(self, logins: Sequence[PodLogin]) -> None:
        """Have later service accounts name the Secrets, by a policy (KEP-3962, stable since Kubernetes 1.36)."""
        policy, binding = yaml_text.documents(files.packaged(__package__, "policy.yaml"))
        if not logins:
            for manifest in (policy, binding):
                self.cluster.delete(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])
            return
        policy["spec"]["mutations"] = [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": _expression(login)}} for login in logins
        ]
        with suppress(NotFound):  # a cluster without such policies
            self.cluster.apply_all((policy, binding))

    def _secrets(self, name: str) -> dict[str, dict[str, Any]]:
        secrets = (secret["metadata"] for secret in self.cluster.list("v1", "Secret", selector=f"{LABEL}=true"))
        return {metadata["namespace"]: metadata for metadata in secrets if metadata["name"] == name}

    def _name(self, account: Mapping[str, Any], names: list[str]) -> None:
        metadata = {key: account["metadata"][key] for key in ("name", "namespace")}
        kind = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        # Kubernetes has the list as one value.
        self.cluster.apply({**kind, "imagePullSecrets": [{"name": name} for name in names]})


def _named(account: Mapping[str, Any]) -> list[str]:
    return [secret["name"] for secret in account.get("imagePullSecrets") or ()]


def _expression(login: PodLogin) -> str:
    """Return the patch (RFC 6902) in CEL: `-` is the end of a list, which must exist."""
    name = json.dumps(login.secret)
    listed = "has(object.imagePullSecrets)"
    append = f'JSONPatch{{op: "add", path: "/imagePullSecrets/-", value: {{"name": {name}}}}}'
    begin = f'JSONPatch{{op: "add", path: "/imagePullSecrets", value: [{{"name": {name}}}]}}'
    named = f"{listed} && object.imagePullSecrets.exists(secret, secret.name == {name})"
    meant = f"request.namespace in {json.dumps(login.namespaces)}"
    return f"{meant} && !({named}) ? ({listed} ? [{append}] : [{begin}]) : []"
