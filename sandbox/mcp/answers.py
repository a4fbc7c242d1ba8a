"""What an agent gets to read: short, in pages, and without the values of Secrets."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator

from sandbox.kube.api import Cluster
from sandbox.sanitize import fit

PAGE = 6000  # characters
KEPT = 20  # answers whose other pages can be asked for
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


class Answers:
    """Cuts answers into pages, and keeps the last ones for those who want the next page."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pages: dict[str, list[str]] = {}

    def first_page(self, text: str) -> str:
        """Return the text, or its first page with how to get the next; without control characters."""
        text = fit(text).strip()
        if len(text) <= PAGE:
            return text
        id = f"answer-{next(self._numbers)}"
        self._pages[id] = [text[start : start + PAGE] for start in range(0, len(text), PAGE)]
        for old in list(self._pages)[:-KEPT]:
            del self._pages[old]
        return self.page(id, 1) or ""

    def page(self, id: str, number: int) -> str | None:
        """Return one page, counted from 1; None if there is none."""
        pages = self._pages.get(id, [])
        if not 1 <= number <= len(pages):
            return None
        more = f'; the next: more(answer="{id}", page={number + 1})' if number < len(pages) else ""
        return f"{pages[number - 1]}\n[page {number} of {len(pages)}{more}]"
