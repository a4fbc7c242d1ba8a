"""The unit on the node that gives what is kept to namespaces and service accounts which come later."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

from sandbox.components.credentials.kept_secret import COPY, KEY, LABEL, OURS
from sandbox.components.node_unit import NodeUnit
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import SYSTEM_NAMESPACE

ALL = "*"
LIST = PurePosixPath("/etc/sandbox/credentials.list")

_OTHERS = ",".join(f"metadata.namespace!={name}" for name in OURS)

# The API server ends a watch after a while; the next one begins with all service accounts again.
# What is secret is in variables and pipes only: neither arguments nor the journal show it. Which Secrets there are and
# for whom is in a file of the node; of the cluster come names and data, whose form is checked.
_SCRIPT = f"""kubectl get serviceaccounts --all-namespaces --watch \\
  --field-selector={_OTHERS} \\
  --output='jsonpath={{.metadata.namespace}} {{.metadata.name}}{{"\\n"}}' |
while read -r namespace account; do
  case "$namespace" in '' | -* | *[!a-z0-9-]*) continue ;; esac
  case "$account" in '' | -* | *[!a-z0-9.-]*) continue ;; esac
  while read -r secret wanted append begin; do
    case ",$wanted," in
      ",{ALL}," | *",$namespace,"*) ;;
      *) continue ;;
    esac
    data=$(kubectl get secret "$secret" --namespace={SYSTEM_NAMESPACE} \\
      --output='go-template={{{{index .data "{KEY}"}}}}') || continue
    case "$data" in '' | *[!A-Za-z0-9+/=]*) continue ;; esac
    if [ "$account" = default ]; then
      printf %s "$data" | base64 -d |
        kubectl create secret generic "$secret" --namespace="$namespace" --type=kubernetes.io/dockerconfigjson \\
          --from-file={KEY}=/dev/stdin --dry-run=client --output=json |
        kubectl label --local --filename=- {LABEL}={COPY} --output=json |
        kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=-
    fi
    named=$(kubectl get serviceaccount "$account" --namespace="$namespace" \\
      --output='jsonpath={{.imagePullSecrets[*].name}}') || continue
    case " $named " in *" $secret "*) continue ;; esac
    patch=$begin
    [ -z "$named" ] || patch=$append
    kubectl patch serviceaccount "$account" --namespace="$namespace" --type=json --patch="$patch"
  done < {LIST}
done
"""


def unit(entries: Iterable[Credentials]) -> NodeUnit:
    """The unit for these entries; its list has for each the Secret, its namespaces and two patches (RFC 6902).

    Kubernetes has an account's list of Secrets as one value, which is begun or added to.
    """
    lines = sorted(map(_line, entries))
    names = sorted(line.split()[0] for line in lines)
    secrets = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": names}
    accounts = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "watch", "get", "patch"]}
    return NodeUnit(
        name="sandbox-credentials",
        description="Registry credentials in every namespace that may have them",
        script=_SCRIPT,
        data={LIST: "".join(lines).encode()},
        # Creating by a patch is authorized as both.
        anywhere=(accounts, {**secrets, "verbs": ["create", "patch"]}),
        inside=({**secrets, "verbs": ["get"]},),
    )


def _line(entry: Credentials) -> str:
    spaces = ALL if entry.namespaces == "all" else ",".join(one for one in entry.namespaces if one != SYSTEM_NAMESPACE)
    append, begin = (
        json.dumps([{"op": "add", "path": path, "value": value}], separators=(",", ":"))
        for path, value in (
            ("/imagePullSecrets/-", {"name": entry.secret}),
            ("/imagePullSecrets", [{"name": entry.secret}]),
        )
    )
    return f"{entry.secret} {spaces or '-'} {append} {begin}\n"
