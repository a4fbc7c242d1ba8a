"""Which host names a certificate may contain: a name that some TLS client refuses is refused here, with the reason."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sandbox.errors import UsageError
from sandbox.names import is_below

LOOPBACK_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# A client that connects to an address sends no SNI (RFC 6066, section 3): it always gets the default certificate.
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
# What browsers take for the last part of an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_LABEL = 63
_MAX_NAME = 253


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:  # a zone, which certificates cannot contain
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def check_host(text: str) -> str:
    """Return `text` as a certificate holds it: a DNS name, a wildcard name, or an IP address in canonical spelling.

    Names follow RFC 1123, section 2.1, in lower case. `*` is the whole leftmost label (RFC 6125, section 6.4.3) and
    needs two labels behind it. Raises UsageError.
    """
    if address := parse_address(text):
        return str(address)
    base = text.removeprefix("*.")
    labels = base.split(".")
    if not text.isascii():
        raise _refused(text, "it is not ASCII", "write its xn-- form (IDNA)")
    if len(text) > _MAX_NAME or not all(len(label) <= _MAX_LABEL and _LABEL.fullmatch(label) for label in labels):
        raise _refused(
            text[:60],
            "it is not a DNS name",
            "write lower-case letters, digits and hyphens (no hyphen first or last), single dots between labels, "
            f"no scheme or port; {_MAX_LABEL} characters a label and {_MAX_NAME} a name at most. A * is the first "
            "label, alone. For example: app.demo.sandbox.localhost",
        )
    if _NUMBER.fullmatch(labels[-1]):
        raise _refused(
            text, "its last label is a number, so clients read it as an IP address", "end it in a word, as in app.test"
        )
    if base != text and len(labels) < 2:
        fix = f"put a label between: *.sandbox.{base}, or list each host by its full name"
        raise _refused(text, "OpenSSL, curl, Node and Chrome refuse a wildcard over a single label", fix)
    return text


def check_domain(text: str) -> str:
    if parse_address(text) is not None or text.startswith("*"):
        raise _refused(text, "a domain is a plain DNS name", "write one such as demo.sandbox.localhost")
    check_host(text)
    check_host(f"*.{text}")
    return text


def constrained_to(domains: Sequence[str]) -> tuple[str, ...]:
    """Return the DNS names an authority for `domains` is permitted, with all names below. Raises UsageError."""
    if not domains:
        raise UsageError("an authority needs at least one domain", fix="set `domain` in sandbox.yaml", id="host")
    return tuple(dict.fromkeys((*map(check_domain, domains), "localhost")))


def domain_names(domain: str) -> tuple[str, ...]:
    return check_domain(domain), f"*.{domain}"


def subject_names(domain: str) -> tuple[str, ...]:
    return *domain_names(domain), *LOOPBACK_HOSTS


def unique_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_host(host) for host in hosts))


def is_inside(host: str, domains: Iterable[str]) -> bool:
    """Return whether name constraints on `domains` and loopback permit `host` (RFC 5280, section 4.2.1.10)."""
    if address := parse_address(host):
        return any(address in network for network in LOOPBACK_NETWORKS)
    base = host.removeprefix("*.")
    return any(is_below(base, domain) for domain in domains)


def require_inside(hosts: Iterable[str], domains: Iterable[str]) -> None:
    permitted = tuple(domains)
    outside = [host for host in hosts if not is_inside(host, permitted)]
    if outside:
        raise UsageError(
            f"the sandbox's authority may not vouch for {', '.join(outside)}",
            details=f"it is limited to {', '.join(permitted)} with all names below, 127.0.0.0/8 and ::1",
            fix="use hosts under one of these, or set `domain` in sandbox.yaml to one that holds them all",
            id="host",
        )


def _refused(text: str, reason: str, fix: str) -> UsageError:
    return UsageError(f"{text!r} cannot be a name in a certificate: {reason}", fix=fix, id="host")
