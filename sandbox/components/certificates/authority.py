"""The certificate authority as functions on bytes, so that issuing needs neither a disk nor a clock.

Root, issuing authority and leaf follow RFC 5280. Both authorities carry critical name constraints, because some clients
(Java's among them) ignore those of a root and obey those of an intermediate.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.components.certificates import pem
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.subject_names import (
    LOOPBACK_NETWORKS,
    constrained_to,
    parse_address,
    require_inside,
    unique_hosts,
)
from sandbox.errors import SandboxError, UsageError

ROOT_LIFE = timedelta(days=730)
ISSUING_LIFE = timedelta(days=365)
LEAF_LIFE = timedelta(days=90)
USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
# A host that never exists (RFC 2606).
NOWHERE = "none.invalid"
# The clock of a virtual machine that has just woken up may be behind.
BACKDATED = timedelta(hours=1)


def make_root(domains: Sequence[str], *, now: datetime) -> KeyPair:
    """Make a root for `domains`: P-256, path length 1, valid for two years from `now` (aware). Raises UsageError."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Sandbox root {now:%Y-%m-%d}", key.public_key())
    builder = _builder(name, name, key.public_key(), now, ends=now + ROOT_LIFE)
    certificate = _as_authority(builder, constrained_to(domains), path_length=1).sign(key, SHA256())
    return KeyPair(pem.dump_key(key), pem.dump_certificate(certificate))


def make_issuing(root: KeyPair, domains: Sequence[str], *, now: datetime) -> KeyPair:
    """Make an issuing authority for `domains` signed by `root`: P-256, path length 0, one year, no longer than `root`.

    Raises UsageError for a domain `root` is not permitted, SandboxError when `root` has expired.
    """
    signer = pem.load_certificates(root.cert_pem)[0]
    permitted = constrained_to(domains)
    require_inside(permitted, pem.permitted_domains(signer))
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Sandbox issuing {permitted[0]}", key.public_key())
    builder = _builder(name, signer.subject, key.public_key(), now, ends=_end_within(signer, now, ISSUING_LIFE))
    builder = builder.add_extension(_signed_with(signer), critical=False)
    certificate = _as_authority(builder, permitted, path_length=0).sign(pem.load_key(root.key_pem), SHA256())
    return KeyPair(pem.dump_key(key), pem.dump_certificate(certificate))


def make_leaf(issuing: KeyPair, hosts: Sequence[str], *, now: datetime, client: bool = False) -> KeyPair:
    """Make a server certificate for exactly `hosts` (names, wildcards, IPs): P-256, 90 days, no longer than `issuing`.

    With `client` it is also for clients (RFC 5280, 4.2.1.12). The subject is empty (RFC 5280, section 4.2.1.6). Raises
    UsageError for hosts that are malformed or that `issuing` is not permitted, SandboxError when `issuing` has expired.
    """
    signer = pem.load_certificates(issuing.cert_pem)[0]
    names = unique_hosts(hosts)
    if not names:
        raise UsageError("a certificate needs at least one host", fix="name the hosts it is for", id="host")
    require_inside(names, pem.permitted_domains(signer))
    addresses = {name: parse_address(name) for name in names}
    alternative_names = [
        x509.IPAddress(address) if address else x509.DNSName(name) for name, address in addresses.items()
    ]
    key = ec.generate_private_key(ec.SECP256R1())
    ends = _end_within(signer, now, LEAF_LIFE)
    builder = (
        _builder(x509.Name([]), signer.subject, key.public_key(), now, ends=ends)
        .add_extension(x509.SubjectAlternativeName(alternative_names), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USAGES if client else USAGES[:1]), critical=False)
        .add_extension(_signed_with(signer), critical=False)
    )
    certificate = builder.sign(pem.load_key(issuing.key_pem), SHA256())
    return KeyPair(pem.dump_key(key), pem.dump_certificate(certificate) + pem.dump_certificate(signer))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, *, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_authority(
    builder: x509.CertificateBuilder, permitted: Sequence[str], *, path_length: int
) -> x509.CertificateBuilder:
    subtrees: list[x509.GeneralName] = [x509.DNSName(domain) for domain in permitted]
    subtrees += [x509.IPAddress(network) for network in LOOPBACK_NETWORKS]
    # A kind of name that is not mentioned is not constrained. All clients understand a permitted name that cannot
    # exist; not all understand that an empty one, which stands for every name, is excluded.
    subtrees += [x509.RFC822Name(NOWHERE), x509.UniformResourceIdentifier(NOWHERE)]
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints(subtrees, None), critical=True)
        # Not in RFC 5280 for authorities, but honoured: nothing below may sign mail or code (CA/Browser Forum Baseline
        # Requirements, 7.1.2.10.6).
        .add_extension(x509.ExtendedKeyUsage(USAGES), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_with(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _name(title: str, key: ec.EllipticCurvePublicKey) -> x509.Name:
    # Part of the key's identifier tells two generations apart in a trust store; X.520 allows 64 characters.
    identifier = x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()[:8]
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sandbox")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, f"{title[:55]} {identifier}")])


def _end_within(signer: x509.Certificate, now: datetime, life: timedelta) -> datetime:
    if now >= signer.not_valid_after_utc:
        raise SandboxError(
            f"the authority {signer.subject.rfc4514_string()} has expired",
            details=f"it was valid until {signer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            fix="sandbox certs renew --authority",
            id="authority",
        )
    return min(now + life, signer.not_valid_after_utc)
