"""What an agent gets to read: short, and without the values of Secrets."""

import base64
import re
from collections.abc import Iterator

from sandbox.kube.api import Cluster
from sandbox.sanitize import fit

LONGEST = 20_000  # characters
SHORTEST = 4  # characters of a secret; shorter ones are in every text
HIDDEN = "[hidden: value of a Secret]"
# A token of Kubernetes (RFC 7519), and a private key (RFC 7468), wherever they come from.
TOKENS = re.compile(
    r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)


def secret_values(cluster: Cluster, namespace: str | None) -> frozenset[str]:
    """Return the values of all Secrets, as text and in base64, and each long line of them. Raises ClusterError."""
    secrets = cluster.list("v1", "Secret", namespace)
    return frozenset(
        form for secret in secrets for encoded in (secret.get("data") or {}).values() for form in _forms(encoded)
    )


def _forms(encoded: str) -> Iterator[str]:
    value = base64.b64decode(encoded)
    text = value.decode(errors="replace").strip()
    forms = (text, encoded, base64.b64encode(text.encode()).decode(), value.hex(), *text.splitlines())
    yield from (form for form in forms if len(form) >= SHORTEST)


def hide(text: str, secrets: frozenset[str]) -> str:
    """Return the text without values of Secrets, tokens and private keys."""
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return TOKENS.sub(HIDDEN, text)


def short(text: str) -> str:
    """Return the text without control characters; of a long one the beginning and the end."""
    text = fit(text).strip()
    if len(text) <= LONGEST:
        return text
    left_out = f"\n[{len(text) - LONGEST} characters left out: ask for less, such as fewer lines]\n"
    return f"{text[: LONGEST // 2]}{left_out}{text[-LONGEST // 2 :]}"
