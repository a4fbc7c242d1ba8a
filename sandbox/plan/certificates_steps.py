"""The certificates of a sandbox: its authority, who is to trust it, and the TLS Secrets in the cluster."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from sandbox.bundle import machine_node, published
from sandbox.components.certificates.cert_manager import CertManagerStep, IssuerStep, images
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import AuthorityStep, ProvidedStep, SecretsStep, TlsSecret, TrustStep
from sandbox.components.certificates.subject_names import domain_names, subject_names
from sandbox.components.cluster.steps import NodeImagesStep
from sandbox.components.edge.lan_access import EVERYWHERE, Access
from sandbox.components.edge.lan_access import domains as names_outside
from sandbox.components.ingress import deep_hosts
from sandbox.config.schema import Spec
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, SYSTEM_NAMESPACE
from sandbox.plan import providers
from sandbox.plan.site import ClusterSite
from sandbox.step import Step

DOMAIN_LEAF = "domain"


def authority(site: ClusterSite, lan: Access, extra: Mapping[str, tuple[str, ...]]) -> Step:
    """Return the step for the sandbox's root and certificates on this machine: those of Secrets, and `extra`."""
    spec = site.spec
    secrets = issued(spec, site.keystore) if spec.certs.issuer == "sandbox" else ()
    return AuthorityStep(
        names=site.names,
        keystore=site.keystore,
        domains=(*spec.vouched, *lan.domains),
        leaves={**{secret.leaf: secret.hosts for secret in secrets}, **extra},
        purge=site.purge,
        unvouched=lan.unvouched,
        reserve=tuple if spec.runs_process else partial(names_outside, spec.name, EVERYWHERE),
    )


def trust(site: ClusterSite) -> TrustStep:
    return TrustStep(
        nodes=site.nodes,
        names=site.names,
        keystore=site.keystore,
        provided=site.provided,
        company=providers.company(site.spec),
    )


def secrets(site: ClusterSite) -> list[Step]:
    names, secrets = site.names, issued(site.spec, site.keystore)
    steps: list[Step] = [ProvidedStep(names, site.provided)] if site.provided else []
    if site.spec.certs.issuer == "sandbox":  # also without any: those of an earlier spec are to be removed
        return [*steps, SecretsStep(names, site.keystore, secrets)]
    local = {name: published.local_name(name, image) for name, image in images().items()}
    by_tag = {image.partition("@")[0]: local[name] for name, image in images().items()}

    def archive(name: str) -> AbstractContextManager[Path]:
        return machine_node.saved(site.engine, local[name])

    return [
        *steps,
        NodeImagesStep(site.provider, local, archive, name="cert-manager-images"),
        CertManagerStep(names, site.home.manifests, by_tag),
        IssuerStep(names, site.keystore, secrets),
    ]


def issued(
    spec: Spec, keystore: Keystore | None = None, *, default: str = DEFAULT_TLS, domain: str = DOMAIN_TLS
) -> tuple[TlsSecret, ...]:
    """Return the Secrets with certificates of the sandbox's own authority, the first called `default` and `domain`.

    The domain's certificate keeps the hosts that `deep_hosts` added to it in `keystore`. All Secrets are in the
    sandbox's only namespace, if it may use no other.
    """
    place = spec.namespace or SYSTEM_NAMESPACE
    deep = deep_hosts.certified(keystore, spec.domain) if keystore and deep_hosts.are_certified(spec) else ()
    own = (
        TlsSecret(namespace=place, secret=default, leaf="default", hosts=subject_names(spec.domain)),
        # Without addresses: clients made with BoringSSL, gRPC's among them, refuse a chain that constrains addresses
        # as soon as the leaf has one.
        TlsSecret(namespace=place, secret=domain, leaf=DOMAIN_LEAF, hosts=(*domain_names(spec.domain), *deep)),
    )
    extra = (
        TlsSecret(
            namespace=spec.namespace or secret.namespace,
            secret=secret.secret,
            leaf=f"{secret.namespace}.{secret.secret}",
            hosts=secret.hosts,
        )
        for secret in spec.certs.secrets
    )
    return (*(() if spec.certs.default else own), *extra)
