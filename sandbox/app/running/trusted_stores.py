"""This machine's trust stores and the record of what was added to them, locked against other commands."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sandbox.app import context
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files
from sandbox.truststore import stores, trust_plan
from sandbox.truststore.stores import Holding, survey
from sandbox.truststore.trust_plan import Plan
from sandbox.truststore.trusted_root import Entry, Kind, Record, Root, parse


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
        return trust_plan.untrust(meant.__contains__, self.holdings, self.machine)

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
            self.record.write(Entry(change.root, sandbox if change.adds else "", places))


def root_of(path: Path) -> Root:
    """Read a sandbox's root certificate. Raises SandboxError if it is not a sandbox's."""
    root = parse(path.read_bytes())
    if not root.is_ours:
        raise SandboxError(
            f"{path} is no sandbox's root", fix=f"inspect it: openssl x509 -text -in {shlex.quote(str(path))}"
        )
    return root
