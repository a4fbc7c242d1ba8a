"""Gives the etcd members of several control planes peer URLs with the names of their nodes.

kubeadm writes addresses, which may change when nodes start. etcd keeps a member's peer URL in its data and reads its
command line only at the first start (server/etcdserver/bootstrap.go). A peer's certificate names its node too, and etcd
accepts it if that name resolves to the address that connects (client/pkg/transport/listener_tls.go).
"""

import json
from typing import Any

from sandbox.engine import Engine
from sandbox.errors import SandboxError, succeeded

PORT = 2380
# etcd's API as JSON (server/embed: enable-grpc-gateway); kubectl is the client for it that every node has.
POST = """
pki=/etc/kubernetes/pki/etcd
echo "$2" | kubectl --kubeconfig=/dev/null --server=https://127.0.0.1:2379 --certificate-authority=$pki/ca.crt \
  --client-certificate=$pki/healthcheck-client.crt --client-key=$pki/healthcheck-client.key \
  --request-timeout=10s create --raw "/v3/cluster/member/$1" -f -
"""


def name_peers(engine: Engine, control_plane: str) -> None:
    """Write the name of its node into the peer URL of every etcd member. Raises SandboxError."""
    output = _post(engine, control_plane, "list", {})
    try:
        named = {member["ID"]: (member["name"], member["peerURLs"]) for member in json.loads(output)["members"]}
    except (ValueError, LookupError, TypeError) as error:  # kubectl may have said more, and one that joins has no name
        raise SandboxError(f"the members of etcd on {control_plane} are not known", details=output[-2000:]) from error
    for member, (name, urls) in named.items():
        by_name = [f"https://{name}:{PORT}"]
        if urls != by_name:
            _post(engine, control_plane, "update", {"ID": member, "peerURLs": by_name})


def _post(engine: Engine, control_plane: str, what: str, body: dict[str, Any]) -> str:
    ran = engine.execute(control_plane, ["sh", "-c", POST, "post", what, json.dumps(body)])
    return succeeded(ran, f"etcd does not {what} its members on {control_plane}")
