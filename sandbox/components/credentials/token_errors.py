"""What token services say when they refuse, each in a form of its own, as a code, a sentence and a way out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 300
_AWS_KEYS = "check the access key and its secret: aws sts get-caller-identity"
_AWS_AGAIN = "sign in again, then: sandbox credentials refresh"
_FIXES = {
    "invalid_grant": "the key or the consent is no longer good: make a new key, or "
    "gcloud auth application-default login; then sandbox credentials refresh",
    "invalid_client": "its secret is wrong or has ended: az ad sp credential reset; then sandbox credentials refresh",
    "unauthorized_client": "register the application in this tenant, or correct the tenant",
    "UNAUTHORIZED": "give the account the right to pull from this registry (AcrPull)",
    "AccessDenied": "allow this in IAM: sts:AssumeRole for the role, ecr:GetAuthorizationToken for who pulls",
    "AccessDeniedException": "allow ecr:GetAuthorizationToken in IAM",
    "ExpiredToken": _AWS_AGAIN,
    "ExpiredTokenException": _AWS_AGAIN,
    "InvalidClientTokenId": _AWS_KEYS,
    "InvalidSignatureException": _AWS_KEYS,
    "SignatureDoesNotMatch": _AWS_KEYS,
    "UnrecognizedClientException": _AWS_KEYS,
}


@dataclass(frozen=True)
class Refusal:
    """A code of the service's own and its sentence; both empty when the body is of no known form."""

    code: str = ""
    message: str = ""

    @property
    def fix(self) -> str:
        """What to do about it; empty when the code is not known."""
        return _FIXES.get(self.code, "")

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.message)))


def read(body: bytes) -> Refusal:
    """The refusal in the body of an answer. A body of no known form is not repeated: it may be anything.

    OAuth (RFC 6749, 5.2), AWS JSON 1.1 (`__type`), AWS Query (XML) and the Distribution specification (`errors`).
    """
    text = body[:10_000].decode(errors="replace")
    if text.lstrip().startswith("<"):
        return _short(_element(text, "Code"), _element(text, "Message"))
    try:
        content = json.loads(body)
    except ValueError:
        return Refusal()
    return _of_json(content) if isinstance(content, dict) else Refusal()


def _of_json(content: Mapping[str, Any]) -> Refusal:
    if "__type" in content:
        code = str(content["__type"]).rpartition("#")[2]
        return _short(code, content.get("message") or content.get("Message"))
    if isinstance(content.get("errors"), list) and content["errors"] and isinstance(content["errors"][0], dict):
        return _short(content["errors"][0].get("code"), content["errors"][0].get("message"))
    if isinstance(content.get("error"), str):
        return _short(content["error"], content.get("error_description"))
    return Refusal()


def _short(code: Any, message: Any) -> Refusal:
    """The first line of each: Azure adds traces and times."""
    first = [str(text).strip().partition("\n")[0].strip()[:LONGEST] if text else "" for text in (code, message)]
    return Refusal(*first)


def _element(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""
