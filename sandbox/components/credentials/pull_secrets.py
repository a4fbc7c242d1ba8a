"""Logins of pods in named namespaces: a pull Secret in each, and service accounts that name it."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.credentials.pod_logins import PodLogin
from sandbox.components.credentials.registry_login import Login
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.manifests import namespace

LABEL = "sandbox.dev/credentials"
ISSUED = "sandbox.dev/issued"
ADMISSION_API = "admissionregistration.k8s.io/v1"
POLICY = "sandbox-credentials"
POLICY_KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


def _expression(login: PodLogin) -> str:
    """Return the patch (RFC 6902) in CEL: `-` is the end of a list, which must exist."""
    name = json.dumps(login.secret)
    listed = "has(object.imagePullSecrets)"
    append = f'JSONPatch{{op: "add", path: "/imagePullSecrets/-", value: {{"name": {name}}}}}'
    begin = f'JSONPatch{{op: "add", path: "/imagePullSecrets", value: [{{"name": {name}}}]}}'
    named = f"{listed} && object.imagePullSecrets.exists(secret, secret.name == {name})"
    meant = f"request.namespace in {json.dumps(login.namespaces)}"
    return f"{meant} && !({named}) ? ({listed} ? [{append}] : [{begin}]) : []"


@dataclass(frozen=True)
class PullSecrets:
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
        if not logins:
            for kind in POLICY_KINDS:
                self.cluster.delete(ADMISSION_API, kind, POLICY)
            return
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts"]}
        mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": _expression(login)}} for login in logins]
        policy = {
            "matchConstraints": {"resourceRules": [rule]},
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "Never",
            "mutations": mutations,
        }
        specs = zip(POLICY_KINDS, (policy, {"policyName": POLICY}), strict=True)
        metadata = {"name": POLICY}
        try:
            self.cluster.apply_all(
                {"apiVersion": ADMISSION_API, "kind": kind, "metadata": metadata, "spec": spec} for kind, spec in specs
            )
        except ClusterError as error:
            if error.status != 404:  # a cluster without such policies
                raise

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
