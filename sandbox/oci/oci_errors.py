"""The error answers of a registry, with the codes of the Distribution API for callers that distinguish them."""

import json

from sandbox.config import json_text
from sandbox.errors import FULL, SandboxError

_FIXES = {
    "DENIED": "use an account that may do this, or another repository",
    "TOOMANYREQUESTS": "wait, or add credentials: registries allow signed-in users more",
}


class RegistryError(SandboxError):
    """A registry refused a request, or could not be reached (`status` is then None).

    `codes` are those of the Distribution specification, "Error Codes". `transient`: the request may succeed later.
    """

    id = "registry"

    def __init__(
        self,
        brief: str,
        *,
        details: str = "",
        fix: str = "",
        status: int | None = None,
        codes: tuple[str, ...] = (),
        transient: bool = False,
        retry_after: str = "",
    ) -> None:
        super().__init__(brief, details=details, fix=fix)
        self.status = status
        self.codes = codes
        self.transient = transient
        self.retry_after = retry_after


class BadImage(SandboxError):
    id = "image"


def from_response(action: str, status: int, body: bytes, retry_after: str = "") -> RegistryError:
    """Return the error for an answer with the body `{"errors": [{code, message, detail}]}`, or with any text."""
    codes: tuple[str, ...] = ()
    try:
        errors = json_text.document(body)["errors"]
        codes = tuple(str(error["code"]) for error in errors)
        messages = [
            f"{error['code']}: {error.get('message', '')}"
            + (f" ({json.dumps(error['detail'])[:256]})" if error.get("detail") else "")
            for error in errors
        ]
    except (ValueError, KeyError, TypeError):
        messages = [body[:256].decode(errors="replace").strip()]
    brief, lines = f"the registry refused {action}", [f"HTTP status {status}", *messages]
    fix = next((_FIXES[code] for code in codes if code in _FIXES), _FIXES["DENIED"] if status == 403 else "")
    transient = status in (408, 429) or (status >= 500 and status not in (501, 505))
    if status == 507 or (status >= 500 and any(map(FULL.search, messages))):
        brief, lines[0], transient = "the registry's disk is full", f"{action}: {lines[0]}", False
        fix = "free space there: for the sandbox's own registry, sandbox images gc or docker system prune"
    elif status == 413:
        lines[0] += ": the body is too large"
        fix = "raise the limit of the proxy before the registry (nginx: client_max_body_size 0)"
    details = "\n".join(filter(None, lines))
    return RegistryError(
        brief, details=details, fix=fix, status=status, codes=codes, transient=transient, retry_after=retry_after
    )
