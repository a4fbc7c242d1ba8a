"""Checks of the sandbox's certificates: usable, not expired, and trusted by this machine."""

from __future__ import annotations

from sandbox.components.certificates.facts import CertificateState, describe
from sandbox.components.certificates.keystore import LEAF, Keystore, inventory
from sandbox.components.certificates.user_certificate import refusal
from sandbox.doctor.check import Check, DoctorContext, Finding, error, ok, skipped, warn
from sandbox.quantities import count

DEFAULT = "default"
RENEW_ROOT = "sandbox certs renew{which} --root, then sandbox certs trust{which}"
RENEW_AUTHORITY = "sandbox certs renew{which} --authority"


def valid(context: DoctorContext) -> Finding:
    keystore, domains = Keystore(context.names.keys), context.spec.vouched
    root = keystore.inspect_root(domains, now=context.now)
    if root.state is CertificateState.ABSENT:
        return skipped("sandbox up creates them")
    issuing = keystore.inspect_issuing(domains, now=context.now)
    leaves = [entry for entry in inventory(keystore, now=context.now) if entry.role == LEAF]
    conditions = [("root", root, root.advice(RENEW_ROOT)), ("issuing CA", issuing, RENEW_AUTHORITY)]
    conditions += [(leaf.name, leaf.condition, "") for leaf in leaves]
    for name, condition, fix in conditions:
        if not condition.usable:
            return error(f"{name}: {condition.reason}", fix)
    for name, condition, fix in conditions:
        if condition.reason:
            return warn(f"{name}: {condition.reason}", fix)
    facts = describe(context.names.root_certificate.read_bytes(), now=context.now)
    days = [f"{leaf.name} {count(leaf.facts.days_left, 'day')}" for leaf in leaves if leaf.facts]
    lives = ", ".join([f"the root has {count(facts.days_left, 'day')} left", *days])
    return ok(f"{lives}; limited to {', '.join(facts.permitted)}")


def trusted(context: DoctorContext) -> Finding:
    leaf = Keystore(context.names.keys).leaf_files(DEFAULT)
    if not leaf.has_cert:
        return skipped("sandbox up creates the root")
    if reason := refusal(leaf.cert, leaf.key, context.spec.domain):
        return warn(f"the system's trust store does not have the root ({reason}); clients work with --cacert")
    return ok("programs that use the system's trust store accept the sandbox's certificates")


CHECKS = (
    Check(
        "certificates.valid", "root, issuing CA and server certificates are usable", "sandbox certs renew{which}", valid
    ),
    Check("certificates.trusted", "this machine trusts the sandbox's root", "sandbox certs trust{which}", trusted),
)
