"""Objects that a new cluster has sooner than kubeadm and the controller manager would create them.

They go into the control plane's node before kubeadm runs there, and a script creates them as soon as the API server
answers. All are the same as those that would come later; where one cannot be created, it does.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from sandbox.components.cluster import dns
from sandbox.system.files import packaged

# Where kubeadm looks for changes of CoreDNS's Deployment, passing over other files. Every node image has the folder:
# where a slow engine writes our file too late, the cluster comes up without the change, and the DNS step makes it.
PATCHES = PurePosixPath("/kind")
OBJECTS = PurePosixPath("/kind/first-objects.json")
# ServiceAccounts of the controller manager's controllers. It starts them one after the other with 20 requests a second
# (--kube-api-qps), and an account that does not exist costs three requests instead of one (k8s.io/controller-manager,
# pkg/clientbuilder/client_builder_dynamic.go): four seconds in which no pod is created.
ACCOUNTS = packaged(__package__, "controller-accounts").split()
# kubeadm writes super-admin.conf for the moment in which RBAC has no roles yet.
_CREATE = f"""
export KUBECONFIG=/etc/kubernetes/super-admin.conf
until (: </dev/tcp/127.0.0.1/6443) 2>/dev/null; do sleep 0.1; done
until kubectl get namespace kube-system; do sleep 0.1; done
kubectl create --namespace kube-system --validate=false --filename {OBJECTS}
"""
# Returns at once; the script goes on in the node.
COMMAND = ("bash", "-c", 'timeout 60 bash -c "$1" </dev/null >/dev/null 2>&1 &', "first-objects", _CREATE)


def files(corefile: str) -> Mapping[PurePosixPath, bytes]:
    """Return the files that `COMMAND` and kubeadm read; kubeadm keeps a Corefile that exists."""
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in ACCOUNTS]
    objects = {"apiVersion": "v1", "kind": "List", "items": [dns.config_map(corefile), *accounts]}
    return {
        OBJECTS: json.dumps(objects).encode(),
        PATCHES / "corednsdeployment.json": json.dumps(dns.deployment(corefile)).encode(),
    }
