"""A sandbox's certificates: where they are deployed, this machine's trust stores, and renewal until they are served."""

import base64
import binascii
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sandbox.app import context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.views.known_sandboxes import require_known
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import ROOT, Entry
from sandbox.components.certificates.steps import AuthorityStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, trouble_of
from sandbox.names import Names
from sandbox.plan import lifecycle
from sandbox.system import files
from sandbox.truststore import stores, trust_plan, trusted_root
from sandbox.truststore.stores import Holding, survey
from sandbox.truststore.trust_plan import Plan
from sandbox.truststore.trusted_root import Kind, Record, Root, parse


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


class TrustedStores:
    """The trust stores, and what of them is recorded in `folder`, as they are while its lock is held."""

    def __init__(self, folder: Path) -> None:
        self.machine = stores.this_machine(folder)
        self.record = Record(folder)
        self.noted = self.record.entries()
        present = stores.find(self.machine)
        self.holdings: Sequence[Holding] = survey((*stores.recorded(self.record, present), *present))

    @classmethod
    @contextmanager
    def locked(cls) -> Iterator[Self]:
        folder = context.home().trust
        files.make_private_dir(folder)
        with files.exclusive(folder):
            yield cls(folder)

    def plan_trust(self, root: Root, sandbox: str, kinds: Sequence[str]) -> Plan:
        """Plan to add `root`, and to remove the root of the same sandbox that it replaces."""
        return trust_plan.trust(
            root, self.replaced(root, sandbox), self.holdings, self.machine, [Kind(kind) for kind in kinds]
        )

    def plan_untrust(self, meant: set[Root]) -> Plan:
        return trust_plan.untrust(meant, self.holdings)

    def replaced(self, root: Root, sandbox: str) -> list[Root]:
        return [each.root for each in self.noted if each.sandbox == sandbox and each.root != root]

    def roots(self, name: str | None) -> set[Root]:
        """Return the roots of the sandbox `name`, recorded or in its files, else those of all.

        Raises UsageError if there are none.
        """
        if name is None:
            return {root for holding in self.holdings for root in holding.entries} | {each.root for each in self.noted}
        current = context.home().sandbox(name).root_certificate
        roots = {parse(current.read_bytes())} if current.is_file() else set()
        roots |= {each.root for each in self.noted if each.sandbox == name}
        if not roots:
            fix = "run `sandbox certs untrust` without a name to find all of them"
            raise UsageError(f"no root certificate of a sandbox {name} is known", fix=fix, id="trust")
        return roots

    def note_before(self, planned: Plan, sandbox: str) -> None:
        """Record what is about to change, so that an interrupted change can be completed."""
        for change in planned.changes:
            places = ((change.kind.value, change.place),) if change.adds else ()
            self.record.write(trusted_root.Entry(change.root, sandbox if change.adds else "", places))


def root_of(path: Path) -> Root:
    """Read a sandbox's root certificate. Raises SandboxError if it is not a sandbox's."""
    root = parse(path.read_bytes())
    if not root.is_ours:
        raise SandboxError(
            f"{path} is no sandbox's root", fix=f"inspect it: openssl x509 -text -in {shlex.quote(str(path))}"
        )
    return root


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
