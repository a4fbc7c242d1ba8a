"""Where a sandbox's certificates are deployed, and their renewal now, which waits until they are served."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox.app import machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.views.known_sandboxes import require_known
from sandbox.components.certificates.authority_step import AuthorityStep
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import ROOT, Entry
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, trouble_of
from sandbox.names import Names
from sandbox.plan import lifecycle
from sandbox.truststore import stores


def secrets_with(names: Names) -> Mapping[str, tuple[str, ...]] | None:
    """Return the Secrets (NAMESPACE/NAME) by their certificate's SHA-256; None if the cluster does not answer."""
    try:
        listed = Cluster(names.kubeconfig).list("v1", "Secret")
    except SandboxError:
        return None
    now = datetime.now(UTC)
    secrets: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for secret in listed:
        try:
            chain = base64.b64decode((secret.get("data") or {}).get("tls.crt", ""))
            fingerprint = describe(chain, now=now).sha256
        except (SandboxError, binascii.Error):
            continue  # no certificate that can be read
        secrets[fingerprint] += (f"{secret['metadata']['namespace']}/{secret['metadata']['name']}",)
    return secrets


def stores_with(names: Names, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the trust stores of this machine that have the sandbox's root."""
    roots = [entry.file.read_bytes() for entry in entries if entry.role == ROOT and entry.facts is not None]
    return tuple(store for root in roots for store in stores.installed(root, names.home.trust))


@dataclass(frozen=True)
class Renewal:
    """What was renewed: the leaves by name, and whether the root is another now.

    `served` is false if the cluster cannot be reached: then only the files are renewed.
    """

    leaves: Collection[str]
    replaced_root: bool
    served: bool


def renew(sandbox: Sandbox, *, authority: bool, root: bool, agree: Callable[[], object]) -> Renewal | None:
    """Renew the leaves, and with `authority` or `root` what is above them too; None if cert-manager renews them.

    `agree` is called before a root that there is changes, and raises for a no. Raises SandboxError.
    """
    require_known(sandbox.name)
    spec = sandbox.spec.model_copy(update={"push": None, "apply": ()})
    with sandbox.alone("renew"):
        steps, _, _ = machine_plan.steps(spec)
        made = next(step for step in steps if isinstance(step, AuthorityStep))
        now = datetime.now(UTC)
        if not (made.leaves or authority or root):
            return None
        replaces = made.keystore.replaces_root(made.domains, now=now, authority=authority, root=root)
        if replaces and made.keystore.root.has_cert:
            agree()
        domains = (*made.domains, *made.unvouched) if replaces else made.domains
        made.keystore.renew(domains, made.leaves, now=now, authority=authority, root=root, reserve=made.reserve())
        if made.unvouched and replaces:
            steps, _, _ = machine_plan.steps(spec)  # there is more that the new root vouches for
        if trouble_of(sandbox.names.kubeconfig) is not None:
            return Renewal(tuple(made.leaves), replaces, served=False)
        renewed = [step for step in steps if made.name in (step.name, *step.requires)]
        lifecycle.up(renewed, sandbox.session.report, keep=True)
        for step in steps:
            if isinstance(step, HttpsStep):
                step.renew(sandbox.session.say)
    return Renewal(tuple(made.leaves), replaces, served=True)
