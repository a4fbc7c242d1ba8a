"""Adds hosts more than one label below the domain to its certificate, whose wildcard stands for one label only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import check_host, domain_names
from sandbox.components.certificates.tls_secrets import LABEL, TlsSecret, apply_tls_secret, tls_secret
from sandbox.components.ingress import served_hosts
from sandbox.components.ingress.served_hosts import has_own_certificate
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import ingress_hosts
from sandbox.names import is_below


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


def certified(keystore: Keystore, leaf: str, domain: str) -> tuple[str, ...]:
    with suppress(SandboxError):
        certificate = describe(keystore.leaf_files(leaf).read().cert_pem, now=datetime.now(UTC))
        return tuple(host for host in certificate.hosts if is_deep(host, domain))
    return ()


@dataclass(frozen=True, kw_only=True)
class DeepHosts:
    """The hosts to add to the certificate of `domain` in `secret`; `routes` of the Gateway API have some, too."""

    keystore: Keystore
    domain: str
    secret: TlsSecret
    routes: bool

    def lacking(self, cluster: Cluster, ingresses: Iterable[Mapping[str, Any]]) -> list[str]:
        return sorted(self._wanted(cluster, ingresses) - set(certified(self.keystore, self.secret.leaf, self.domain)))

    def add(self, cluster: Cluster, ingresses: Iterable[Mapping[str, Any]]) -> None:
        wanted = self._wanted(cluster, ingresses)
        if wanted - set(certified(self.keystore, self.secret.leaf, self.domain)):
            hosts = (*domain_names(self.domain), *sorted(wanted))
            secret = replace(self.secret, hosts=hosts)
            pair = self.keystore.leaf(secret.leaf, secret.hosts, now=datetime.now(UTC))
            apply_tls_secret(cluster, tls_secret(secret.namespace, secret.secret, pair, labels={LABEL: ""}))

    def _wanted(self, cluster: Cluster, ingresses: Iterable[Mapping[str, Any]]) -> set[str]:
        routes = served_hosts.routes(cluster) if self.routes else ()
        return {host for ingress in (*ingresses, *routes) for host in certifiable(ingress, self.domain)}
