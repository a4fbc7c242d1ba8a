"""Checks of the sandbox's certificates: usable, not expired, and trusted by this machine."""

from __future__ import annotations

from sandbox.components.certificates import handshake
from sandbox.components.certificates.condition import CertificateState
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import LEAF, Keystore, inventory
from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.quantities import count

DEFAULT = "default"
RENEW_ROOT = "sandbox certs renew{which} --root, then sandbox certs trust{which}"


def authority(context: DoctorContext) -> Finding:
    keystore, domains = Keystore(context.names.keys), context.spec.vouched
    root = keystore.inspect_root(domains, now=context.now)
    if root.state is CertificateState.ABSENT:
        return skipped("sandbox up creates it")
    if not root.usable:
        return error(f"root: {root.reason}", root.advice(RENEW_ROOT))
    issuing = keystore.inspect_issuing(domains, now=context.now)
    if not issuing.usable:
        return error(f"issuing CA: {issuing.reason}")
    if root.reason:
        return warn(f"root: {root.reason}", RENEW_ROOT)
    if issuing.reason:
        return warn(f"issuing CA: {issuing.reason}")
    facts = describe(context.names.root_certificate.read_bytes(), now=context.now)
    return ok(f"the root has {count(facts.days_left, 'day')} left and is limited to {', '.join(facts.permitted)}")


def leaves(context: DoctorContext) -> Finding:
    found = [one for one in inventory(Keystore(context.names.keys), now=context.now) if one.role == LEAF]
    if not found:
        return skipped("sandbox up issues them")
    lives = ", ".join(f"{one.name} {count(one.facts.days_left, 'day')} left" for one in found if one.facts)
    reasons = [f"{one.name}: {one.condition.reason}" for one in found if one.condition.reason]
    if all(one.condition.usable for one in found):
        return warn("; ".join(reasons)) if reasons else ok(lives)
    return error("; ".join(reasons))


def trusted(context: DoctorContext) -> Finding:
    leaf = Keystore(context.names.keys).leaf_files(DEFAULT)
    if not leaf.has_cert:
        return skipped("sandbox up creates the root")
    if refusal := handshake.refusal(leaf.cert, leaf.key, context.spec.domain):
        return warn(f"the system's trust store does not have the root ({refusal}); clients work with --cacert")
    return ok("programs that use the system's trust store accept the sandbox's certificates")


CHECKS = (
    Check(
        "certificates.authority",
        "root and issuing CA are usable",
        "sandbox certs renew{which} --authority",
        authority,
    ),
    Check(
        "certificates.leaves",
        "server certificates are valid and not about to expire",
        "sandbox certs renew{which}",
        leaves,
    ),
    Check("certificates.trusted", "this machine trusts the sandbox's root", "sandbox certs trust{which}", trusted),
)
