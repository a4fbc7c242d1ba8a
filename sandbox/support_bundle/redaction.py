"""Removes secrets from text: whatever looks like one, and every known one, wherever it occurs."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sandbox.components.credentials.registry_accounts import docker_config_file, resolved
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home

HIDDEN = "***"
LEAST = 6
MOST = 8192
PUBLIC = frozenset({"ca.crt", "tls.crt", "namespace"})
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_ACCOUNT = re.compile(r"//[^/@\s]*?:([^/@\s]+)@")
_SIZE = 1 << 20

_KEYWORDS = (
    r"password|passwd|passphrase|secret|token|credential|(?:api|access|account|private)[_-]?key|client-key-data"
    r"|authorization|cookie|(?<![A-Za-z0-9])(?:auth|pass|pwd)"
)
_SENSITIVE = re.compile(f"(?i)(?:{_KEYWORDS})$")
# The prefixes of well-known services' accounts, by which leaked ones are found: GitHub, GitLab, Slack, Docker, npm,
# PyPI, AWS, Google, HashiCorp Vault, Stripe, DigitalOcean, SendGrid and services of language models.
_PREFIXED = (
    r"gh[pousr]_\w{16,}|github_pat_\w{16,}|gl[a-z]{1,6}-[\w-]{16,}|xox[a-z]-[\w-]{8,}|dckr_[a-z]{3}_[\w-]{16,}"
    r"|npm_\w{16,}|pypi-[\w-]{32,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|ya29\.[\w.-]{16,}|hv[bs]\.[\w-]{16,}"
    r"|[rs]k_(?:live|test)_\w{16,}|do[opr]_v1_\w{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|hf_\w{16,}|sk-[\w-]{20,}"
)
# The values in NAME: VALUE, NAME=VALUE and "NAME": "VALUE". Within a text that is itself quoted, as JSON in JSON, a
# quote has backslashes before it, and the one that ends the value has as many. A cut text lacks it.
_QUOTED = rf"(?P<quote>\\*+[\"'])(?:(?!(?<!\\)(?P=quote)).){{1,{MOST}}}+(?P=quote)?"
_BARE = r"(?!\\*[\"'])[^\s\"',;}\])]+"


# Logs may have a megabyte without a space. So none of these begins with a repetition that could start again at every
# character, and atomic groups and possessive quantifiers keep backtracking within a word.
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"LS0tLS1CRUdJTi[\w+/=]*"), HIDDEN),  # PEM as base64, as in kubeconfigs and Secrets
    (re.compile(r"//[^/\s\"']+@"), f"//{HIDDEN}@"),  # up to the last @: a password may have one
    (re.compile(r"(?<![\w-])(?>[\w-]*?eyJ)[\w-]{8,}+\.[\w-]++\.[\w-]*+"), HIDDEN),  # RFC 7519, JSON Web Token
    (re.compile(f"(?<![A-Za-z0-9])(?:{_PREFIXED})"), HIDDEN),
    (re.compile(r"(?i)\b(basic|bearer) [\w+/=.~-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)(authorization\s*[:=]\s*[\w-]++ )[^\s\"',;]+"), rf"\1{HIDDEN}"),  # of other schemes
    (re.compile(rf"(?is)((?:{_KEYWORDS})\\*[\"']?\s*[:=]\s*)(?:{_QUOTED}|{_BARE})"), rf"\1{HIDDEN}"),
    (
        re.compile(r"((?<![\w-])--([\w-]++)\s++)[^\s-]\S*"),
        lambda option: f"{option[1]}{HIDDEN}" if _SENSITIVE.search(option[2]) else option[0],
    ),
)


class Redaction:
    """Hides `secrets` and what looks like one; shorter than six characters, they would hide half a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if LEAST <= len(secret) <= MOST:  # and as JSON writes it, with and without letters beyond ASCII
                forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def secrets_in(content: Any) -> Iterator[str]:
    """Yield the values that a document (JSON's types) calls a password, a token and the like."""
    left = [content]
    while left:
        match left.pop():
            case dict() as fields:
                for key, value in fields.items():
                    if isinstance(value, str) and _SENSITIVE.search(str(key)):
                        yield value
                left += fields.values()
            case list() as items:
                left += items


def secrets_of(text: str) -> Iterator[str]:
    """Yield the secrets in a file or value: parts of a document, the lines of a key or ini file, or all of it."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or nested deeper than can be read
        yield text.strip()
        for line in text.splitlines():
            if not line.startswith("-----"):
                yield from (line.strip(), line.partition("=")[2].strip())
    else:
        yield from secrets_in(content) if isinstance(content, dict | list) else (text.strip(),)


def on_this_machine(home: Home, spec: Spec, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets in keys, kubeconfigs, cache settings, credentials, the environment and proxy URLs."""
    for key in (*(home.state / "certificates").rglob("*.key"), *(home.edge / "keys").glob("*.pem")):
        yield from secrets_of(_read(key))
    own = (*home.sandboxes.glob("*/kubeconfig"), *(home.state / "mirrors").glob("*/*/*.yml"))
    for file in (home.kubeconfig, *home.other_kubeconfigs, *own):
        with suppress(yaml.YAMLError, ValueError, RecursionError):  # of dates and depths that there are not
            yield from secrets_in(yaml.safe_load(_read(file)))
    accounts = (resolved(entry, environment).file for entry in spec.credentials)
    for account in {docker_config_file(environment), *filter(None, accounts)}:
        yield from secrets_of(_read(account))
    for name, value in environment.items():
        if name.lower() in PROXIES:
            yield from _ACCOUNT.findall(value)
        elif name != "PWD" and _SENSITIVE.search(name):  # which is the shell's folder
            yield value
    yield from _ACCOUNT.findall(spec.model_dump_json())


def in_the_cluster(kubeconfig: Path, namespace: str | None) -> Iterator[str]:
    """Yield the data of every Secret, or of those in `namespace`, encoded and decoded, if the cluster answers."""
    with suppress(SandboxError):
        for secret in Cluster(kubeconfig).list("v1", "Secret", namespace):
            for name, value in (secret.get("data") or {}).items():
                if name not in PUBLIC:
                    yield value
                    with suppress(binascii.Error, UnicodeDecodeError):
                        yield from secrets_of(base64.b64decode(value).decode())


def _read(path: Path) -> str:
    with suppress(OSError), path.open(errors="replace", encoding="utf-8") as file:
        return file.read(_SIZE)
    return ""
