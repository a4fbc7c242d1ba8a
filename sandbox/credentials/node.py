"""The unit on the node that gives what is kept to namespaces and service accounts which come later."""

from __future__ import annotations

from pathlib import PurePosixPath

from sandbox.cluster.node_unit import unit
from sandbox.credentials.secret import ALL, COPY, KEPT, KEY, LABEL, NAMESPACES, OURS
from sandbox.names import SYSTEM_NAMESPACE

UNIT = "sandbox-credentials.service"

_UNIT = unit("Registry credentials in every namespace that may have them", "/etc/sandbox/credentials.sh")

_OTHERS = ",".join(f"metadata.namespace!={name}" for name in OURS)
_COLUMNS = ",".join(
    (":.metadata.name", ":.metadata.annotations." + NAMESPACES.replace(".", r"\."), ":.data." + KEY.replace(".", r"\."))
)

# The API server ends a watch after a while; the next one begins with all service accounts again.
# What is secret is in variables and pipes only: neither arguments nor the journal show it.
_SCRIPT = f"""kubectl get serviceaccounts --all-namespaces --watch \\
  --field-selector={_OTHERS} \\
  --output='jsonpath={{.metadata.namespace}} {{.metadata.name}}{{"\\n"}}' |
while read -r namespace account; do
  kubectl get secrets --namespace={SYSTEM_NAMESPACE} --selector={LABEL}={KEPT} --no-headers \\
    --output='custom-columns={_COLUMNS}' |
  while read -r secret wanted data; do
    case ",$wanted," in
      ",{ALL}," | *",$namespace,"*) ;;
      *) continue ;;
    esac
    if [ "$account" = default ]; then
      kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=- <<END
{{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
 "metadata": {{"name": "$secret", "namespace": "$namespace", "labels": {{"{LABEL}": "{COPY}"}}}},
 "data": {{"{KEY}": "$data"}}}}
END
    fi
    named=$(kubectl get serviceaccount "$account" --namespace="$namespace" \\
      --output='jsonpath={{.imagePullSecrets[*].name}}') || continue
    case " $named " in *" $secret "*) continue ;; esac
    patch='{{"op": "add", "path": "/imagePullSecrets", "value": [{{"name": "'$secret'"}}]}}'
    if [ -n "$named" ]; then
      patch='{{"op": "add", "path": "/imagePullSecrets/-", "value": {{"name": "'$secret'"}}}}'
    fi
    # It may have been removed since it was listed.
    kubectl get secret "$secret" --namespace={SYSTEM_NAMESPACE} --output=name || continue
    kubectl patch serviceaccount "$account" --namespace="$namespace" --type=json --patch="[$patch]"
  done
done
"""


def node_files() -> dict[PurePosixPath, bytes]:
    """The files of a control-plane node: the same whatever is kept."""
    return {
        PurePosixPath("/etc/sandbox/credentials.sh"): _SCRIPT.encode(),
        PurePosixPath("/etc/systemd/system", UNIT): _UNIT.encode(),
    }
