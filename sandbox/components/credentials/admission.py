"""The policy by which a service account names the Secrets from its first moment, before any pod is made with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.components.credentials.kept_secret import OURS
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import SYSTEM_NAMESPACE

API = "admissionregistration.k8s.io/v1"
NAME = "sandbox-credentials"
KINDS = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")


def policy(entries: Sequence[Credentials]) -> tuple[dict[str, Any], ...]:
    """The policy and its binding (KEP-3962, stable since Kubernetes 1.36).

    A pod's Secrets are settled when it is made, and a Deployment applied together with its namespace is faster than
    whoever watches service accounts.
    """
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts"]}
    mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": _expression(one)}} for one in entries]
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "Never",
        "mutations": mutations,
    }
    metadata = {"name": NAME}
    return (
        {"apiVersion": API, "kind": KINDS[0], "metadata": metadata, "spec": spec},
        {"apiVersion": API, "kind": KINDS[1], "metadata": metadata, "spec": {"policyName": NAME}},
    )


def _expression(entry: Credentials) -> str:
    """The patch (RFC 6902) in CEL: `-` is the end of a list, which must be there."""
    name = json.dumps(entry.secret)
    listed = "has(object.imagePullSecrets)"
    append = f'JSONPatch{{op: "add", path: "/imagePullSecrets/-", value: {{"name": {name}}}}}'
    begin = f'JSONPatch{{op: "add", path: "/imagePullSecrets", value: [{{"name": {name}}}]}}'
    known = f"{listed} && object.imagePullSecrets.exists(one, one.name == {name})"
    return f"{_meant(entry)} && !({known}) ? ({listed} ? [{append}] : [{begin}]) : []"


def _meant(entry: Credentials) -> str:
    where = "request.namespace"
    if entry.namespaces == "all":
        return f"!({where} in {json.dumps(OURS)})"
    return f"{where} in {json.dumps([one for one in entry.namespaces if one != SYSTEM_NAMESPACE])}"
