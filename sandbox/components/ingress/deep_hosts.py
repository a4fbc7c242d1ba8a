"""Adds hosts more than one label below the domain to its certificate, whose wildcard stands for one label only."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import LABEL, apply_tls_secret, tls_secret
from sandbox.components.certificates.subject_names import check_host, domain_names
from sandbox.components.ingress import served_hosts
from sandbox.components.ingress.served_hosts import has_own_certificate
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import ingress_hosts
from sandbox.names import DOMAIN_TLS, SYSTEM_NAMESPACE, is_below

LEAF = "domain"


def are_certified(spec: Spec) -> bool:
    is_own = spec.certs.issuer == "sandbox" and spec.certs.default is None
    return is_own and spec.ingress.controller == "traefik" and spec.cluster.supports.whole_cluster


def certifiable(ingress: Mapping[str, Any], domain: str) -> Iterable[str]:
    """Yield the hosts of an Ingress or route below the domain that only its certificate can be for."""
    for host in () if has_own_certificate(ingress) else ingress_hosts(ingress):
        if is_deep(host, domain):
            with suppress(UsageError):
                check_host(host)
                yield host


def is_deep(host: str, domain: str) -> bool:
    """Return whether the host has more than one label before the domain: a.b.DOMAIN, *.a.DOMAIN."""
    return is_below(host, domain) and "." in host.removesuffix(domain).rstrip(".")


def certified(keystore: Keystore, domain: str) -> tuple[str, ...]:
    with suppress(SandboxError):
        certificate = describe(keystore.leaf_files(LEAF).read().cert_pem, now=datetime.now(UTC))
        return tuple(host for host in certificate.hosts if is_deep(host, domain))
    return ()


def lacking(cluster: Cluster, ingresses: Iterable[Mapping[str, Any]], keystore: Keystore, domain: str) -> list[str]:
    return sorted(_wanted(cluster, ingresses, domain) - set(certified(keystore, domain)))


def add(cluster: Cluster, ingresses: Iterable[Mapping[str, Any]], keystore: Keystore, domain: str) -> None:
    """Issue the domain's certificate again, for these hosts too, and deploy it."""
    hosts = (*domain_names(domain), *sorted(_wanted(cluster, ingresses, domain)))
    pair = keystore.leaf(LEAF, hosts, now=datetime.now(UTC))
    apply_tls_secret(cluster, tls_secret(SYSTEM_NAMESPACE, DOMAIN_TLS, pair, labels={LABEL: ""}))


def _wanted(cluster: Cluster, ingresses: Iterable[Mapping[str, Any]], domain: str) -> set[str]:
    every = (*ingresses, *served_hosts.routes(cluster))
    return {host for ingress in every for host in certifiable(ingress, domain)}
