"""Takes secrets out of text: whatever looks like one, and every one that is known, wherever it turns up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

HIDDEN = "***"
LEAST = 6
MOST = 8192

_KEYWORDS = (
    r"password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|client-key-data"
    r"|authorization|cookie|(?<![A-Za-z0-9])(?:auth|pass|pwd)"
)
_SENSITIVE = re.compile(f"(?i)(?:{_KEYWORDS})$")
# What well-known services begin their accounts with, so that they can be found: GitHub, GitLab, Slack, Docker, npm,
# PyPI, AWS and services of language models.
_PREFIXED = (
    r"gh[pousr]_\w{16,}|github_pat_\w{16,}|gl[a-z]{1,6}-[\w-]{16,}|xox[a-z]-[\w-]{8,}|dckr_[a-z]{3}_[\w-]{16,}"
    r"|npm_\w{16,}|pypi-[\w-]{32,}|(?:AKIA|ASIA)[0-9A-Z]{16}|sk-[\w-]{20,}"
)


def _option(found: re.Match[str]) -> str:
    return f"{found[1]}{HIDDEN}" if _SENSITIVE.search(found[2]) else found[0]


# Logs may have a megabyte without a space. So none of these begins with a repetition that could begin again at every
# character, and what has been read once is given back (no backtracking) only up to the word's end.
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"LS0tLS1CRUdJTi[\w+/=]*"), HIDDEN),  # PEM as base64, as in kubeconfigs and Secrets
    (re.compile(r"//[^/\s\"']+@"), f"//{HIDDEN}@"),  # up to the last @: a password may have one
    (re.compile(r"(?<![\w-])(?>[\w-]*?eyJ)[\w-]{8,}+\.[\w-]++\.[\w-]*+"), HIDDEN),  # RFC 7519, JSON Web Token
    (re.compile(f"(?<![A-Za-z0-9])(?:{_PREFIXED})"), HIDDEN),
    (re.compile(r"(?i)\b(basic|bearer) [\w+/=.~-]{6,}"), rf"\1 {HIDDEN}"),
    # NAME: VALUE, NAME=VALUE and "NAME": "VALUE", --NAME VALUE
    (re.compile(rf"(?i)((?:{_KEYWORDS})[\"']?\s*[:=]\s*)(\"[^\"]+\"|'[^']+'|[^\s\"',;}}\])]+)"), rf"\1{HIDDEN}"),
    (re.compile(r"((?<![\w-])--([\w-]++)\s++)[^\s-]\S*"), _option),
)


class Redaction:
    """Hides the `known` secrets and what looks like one. What is shorter than six characters would hide half a text."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = sorted({one for one in known if LEAST <= len(one) <= MOST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text with *** in the place of secrets."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def secrets_in(content: Any) -> Iterator[str]:
    """The values of what a document (JSON's types) calls a password, a token and the like."""
    match content:
        case dict():
            for key, value in content.items():
                if isinstance(value, str) and _SENSITIVE.search(str(key)):
                    yield value
                else:
                    yield from secrets_in(value)
        case list():
            for value in content:
                yield from secrets_in(value)


def secrets_of(text: str) -> Iterator[str]:
    """What of a secret file or value is secret: those parts of a document, the lines of a key or ini file, or all."""
    try:
        content = json.loads(text)
    except ValueError:
        yield text.strip()
        for line in text.splitlines():
            if not line.startswith("-----"):
                yield from (line.strip(), line.partition("=")[2].strip())
    else:
        yield from secrets_in(content) if isinstance(content, dict | list) else (text.strip(),)
