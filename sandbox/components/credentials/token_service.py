"""One request to a token service: its refusals in words, its failures as one kind of error that repeats no secret.

The clouds' libraries know what to ask; all of them ask through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from sandbox.config import json_text
from sandbox.oci.address import of_url
from sandbox.oci.credential import CredentialsUnusable, redacted
from sandbox.oci.http_session import Body, HttpSession, NoResponse, Response, library_response, may_pass
from sandbox.oci.oci_errors import is_transient
from sandbox.oci.transport import pause_before
from sandbox.quantities import count
from sandbox.sanitize import deepest
from sandbox.system import interruption
from sandbox.system.wait import retry

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
# Names that errors may contain: of OAuth 2.0, AWS Query, and Azure's registries.
_PUBLIC = {
    "Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "grant_type", "grantType", "client_id",
    "clientId", "client_info", "client_assertion_type", "scope", "claims", "audience", "requested_token_type",
    "subject_token_type", "options", "lifetime", "service", "tenant",
}  # fmt: skip
TRIES = 3
SKEW = timedelta(minutes=4)
"""How far clocks may differ unsaid: AWS refuses after five minutes, Google after ten."""

AGAIN = "try again later: sandbox credentials refresh"


@dataclass(frozen=True)
class Refusal:
    """A code of the service's own and its message; both empty when the body has no known form."""

    code: str = ""
    message: str = ""

    @property
    def fix(self) -> str:
        """Return what to do about it; empty when the code is not known."""
        return _FIXES.get(self.code, "")

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.code, self.message)))


def read_refusal(body: bytes) -> Refusal:
    """Return the refusal in the body of an answer.

    A body of unknown form is not repeated: it may be anything. Known are OAuth (RFC 6749, 5.2), AWS JSON 1.1
    (`__type`), AWS Query (XML) and the Distribution specification (`errors`).
    """
    text = body[:10_000].decode(errors="replace")
    if text.lstrip().startswith("<"):
        return _short(_element(text, "Code"), _element(text, "Message"))
    try:
        content = json_text.document(body)
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
    """Return the first line of each: Azure adds traces and times."""
    first = [str(text).strip().partition("\n")[0].strip()[:LONGEST] if text else "" for text in (code, message)]
    return Refusal(*first)


def _element(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""


def secrets_in(headers: Mapping[str, str], data: Body) -> tuple[str, ...]:
    """Return every text of a request that an answer may repeat and no message may.

    Those are what authorizes it, and all fields of a form or a JSON object except those that are known to be public.
    """
    values = [value for name, value in headers.items() if "auth" in name.lower() or "token" in name.lower()]
    found = [word for value in values for word in (value, value.rpartition(" ")[2])]
    return tuple(
        one for one in (*found, *(value for name, value in _fields(data) if name not in _PUBLIC)) if len(one) > 3
    )


def _fields(data: Body) -> Iterable[tuple[str, str]]:
    if isinstance(data, Mapping):
        return data.items()
    if not isinstance(data, bytes):
        return ()
    try:
        content = json_text.document(data)
    except ValueError:
        return parse_qsl(data.decode(errors="replace"))
    return [(name, value) for name, value in content.items() if isinstance(value, str)] if content else ()


@dataclass(frozen=True)
class Service:
    """A token service, called `name` in errors, asked at `now`; `fix` helps against codes that are not known here."""

    name: str
    now: datetime
    fix: str = ""

    def ask(
        self, url: str, data: Body | str = None, headers: Mapping[str, str] | None = None, *, method: str
    ) -> Response:
        """Return a successful answer; repeat the request when the service is down. Raises CredentialsUnusable.

        Redirects are not followed: what authorizes a request is for this address only.
        """
        place = of_url(url)
        shown = url.partition("?")[0]
        if place is None or (place.scheme != "https" and not place.is_loopback):
            raise CredentialsUnusable(
                f"{self.name} at {shown} is not safe to use",
                details="keys are sent over https only, or to this machine",
                fix="correct the address in the file or the variable that names it",
            )
        body = data.encode() if isinstance(data, str) else data
        secrets = secrets_in(headers or {}, body)
        session = HttpSession(place)
        try:
            answer = retry(
                lambda: session.request(method, url, headers or {}, body, follow=False),
                tries=TRIES,
                transient=may_pass,
                wait=lambda number: interruption.pause(pause_before(number)),
            )
        except NoResponse as error:
            raise self._silent(shown, error, secrets) from None
        finally:
            session.close()
        if answer.status_code != 200:
            raise self._refusal(shown, answer, secrets)
        return answer

    def post_json(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the JSON object that answers a form. Raises CredentialsUnusable, which repeats nothing of it."""
        try:
            content = json_text.document(self.ask(url, form, method="POST").content)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self.strange("no JSON object")
        return content

    def text(self, content: Mapping[str, Any], key: str) -> str:
        """Return a text in an answer. Raises CredentialsUnusable when there is none."""
        value = content.get(key)
        if not isinstance(value, str) or not value:
            raise self.strange(f"no {key}")
        return value

    def strange(self, what: str) -> CredentialsUnusable:
        """Return the error for an answer that does not follow the protocol."""
        return CredentialsUnusable(f"{self.name} gave an unusable answer", details=what, fix=AGAIN)

    def _silent(self, url: str, error: NoResponse, secrets: Iterable[str]) -> CredentialsUnusable:
        """Return the error for a missing answer. requests' own message may contain a URL, but never a body."""
        bottom = deepest(error)
        reason = getattr(bottom, "strerror", None) or str(bottom) or type(bottom).__name__
        details = redacted(f"{url}: {reason}", secrets)
        if error.untrusted:
            fix = "add its CA to this machine's trust store, or name it by REQUESTS_CA_BUNDLE"
            return CredentialsUnusable(f"{self.name} cannot be trusted", details=details, fix=fix)
        return CredentialsUnusable(f"{self.name} does not answer", details=details, fix=AGAIN)

    def _refusal(self, url: str, answer: Response, secrets: Iterable[str]) -> CredentialsUnusable:
        """Return the error for an unsuccessful answer."""
        status = answer.status_code
        said = read_refusal(answer.content)
        skew = self._skew(answer.header("Date"))
        lines = (f"HTTP status {status} from {url}", redacted(str(said), secrets), skew)
        fix = "set this machine's clock, then: sandbox credentials refresh" if skew else said.fix
        if not fix and not is_transient(status):
            fix = self.fix
        brief = f"{self.name} fails" if is_transient(status) else f"{self.name} refuses these credentials"
        return CredentialsUnusable(brief, details="\n".join(filter(None, lines)), fix=fix or AGAIN)

    def _skew(self, date: str | None) -> str:
        """Return how this machine's clock differs from the service's, when that may be the reason for a refusal."""
        try:
            ahead = self.now - parsedate_to_datetime(date or "")
        except (ValueError, TypeError):
            return ""
        if abs(ahead) < SKEW:
            return ""
        side = "ahead of" if ahead > timedelta(0) else "behind"
        minutes = count(round(abs(ahead) / timedelta(minutes=1)), "minute")
        return f"this machine's clock is {minutes} {side} the service's"


@dataclass(frozen=True)
class Session:
    """Stands in for a session of requests where a cloud's library asks `service`.

    So all of them have the same addresses, proxies, CAs and attempts, and the same words for what fails.
    """

    service: Service

    def request(
        self, method: str, url: str, data: Body | str = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> Any:
        """See requests.Session. Raises CredentialsUnusable for all but a successful answer."""
        return library_response(self.service.ask(url, data, dict(headers or {}), method=method))

    def close(self) -> None:
        """See requests.Session; each request has a connection of its own."""
