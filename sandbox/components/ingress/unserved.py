"""What keeps the controller from serving an Ingress: a class of another controller, a TLS Secret that is not there.

Traefik leaves out every Ingress with such a Secret, though the sandbox's default certificate is for its hosts. Until
the Secret comes, from cert-manager or by hand, one takes its place whose certificate is for no host, so that the
default one is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates.authority import make_root
from sandbox.components.certificates.tls_secrets import tls_secret
from sandbox.components.ingress.default_backend import hosts_of
from sandbox.components.workloads.applying import PROVISIONAL
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Say, title

CLASS_ANNOTATION = "kubernetes.io/ingress.class"

Ingress = Mapping[str, Any]


def require_classes(cluster: Cluster, ingresses: Sequence[Ingress], domain: str) -> None:
    """Raise SandboxError for an Ingress of the domain whose class no controller in the cluster has."""
    wanted = {title({"kind": "Ingress", **one}): found for one in _inside(ingresses, domain) if (found := _class(one))}
    known = [one["metadata"]["name"] for one in cluster.list("networking.k8s.io/v1", "IngressClass")] if wanted else []
    foreign = {name: wanted[name] for name in wanted if wanted[name] not in known}
    if foreign:
        name, found = next(iter(foreign.items()))
        raise SandboxError(
            f"{name} has the class '{found}', which no controller here serves",
            details="\n".join(f"{other}: {its}" for other, its in list(foreign.items())[1:]),
            fix=f"write `ingressClassName: {known[0] if known else 'nginx'}`, or leave the class out; "
            f"or install the controller of '{found}'",
            id="ingress-class",
        )


def stand_in(cluster: Cluster, ingresses: Sequence[Ingress], domain: str, say: Say) -> None:
    """Make a Secret for each that an Ingress of the domain names and the cluster lacks. Raises ClusterError."""
    for namespace, name in sorted(set(_secrets(_inside(ingresses, domain)))):
        if cluster.get("v1", "Secret", name, namespace) is None:
            say(f"the Secret {namespace}/{name} is not there: its hosts get the sandbox's certificate until it comes")
            pair = make_root(("provisional.invalid",), now=datetime.now(UTC))
            made = tls_secret(namespace, name, chain_pem=pair.cert_pem, key_pem=pair.key_pem)
            cluster.apply({**made, "metadata": {**made["metadata"], "labels": {PROVISIONAL: "true"}}})


def _inside(ingresses: Iterable[Ingress], domain: str) -> Iterator[Ingress]:
    for one in ingresses:
        if any(host == domain or host.endswith(f".{domain}") for host in hosts_of([one])):
            yield one


def _class(ingress: Ingress) -> str | None:
    """Return the class, in the field or in the annotation that was there before it."""
    annotations = ingress["metadata"].get("annotations") or {}
    return (ingress.get("spec") or {}).get("ingressClassName") or annotations.get(CLASS_ANNOTATION)


def _secrets(ingresses: Iterable[Ingress]) -> Iterator[tuple[str, str]]:
    for one in ingresses:
        for entry in (one.get("spec") or {}).get("tls") or ():
            if entry.get("secretName"):
                yield one["metadata"]["namespace"], entry["secretName"]
