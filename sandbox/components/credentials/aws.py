"""AWS keys, found as the AWS command line finds them, traded for a password at its Elastic Container Registry.

The password holds for twelve hours.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_service import Service
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential, CredentialsUnusable

ALGORITHM = "AWS4-HMAC-SHA256"
END = "aws4_request"
_UNSUPPORTED = (
    "sso_session", "sso_start_url", "credential_process", "web_identity_token_file", "credential_source", "mfa_serial",
)  # fmt: skip
TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
SESSION = "sandbox"
_STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@dataclass(frozen=True)
class Keys:
    """An access key; `session` comes with keys that end."""

    access: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return every text that would give the keys away."""
        return tuple(filter(None, (self.secret, self.session)))


@dataclass(frozen=True)
class Scope:
    """What a signature is good for."""

    region: str
    service: str


def signed(
    method: str, url: str, headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope, *, now: datetime
) -> dict[str, str]:
    """Return the headers to send, all of them signed, `Authorization` last; `url` has no query.

    AWS General Reference, "Create a signed AWS API request".
    """
    parts = urlsplit(url)
    time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "Host": parts.netloc, "X-Amz-Date": time}
    if keys.session:
        sent["X-Amz-Security-Token"] = keys.session
    canonical = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(canonical))
    lines = (f"{name}:{canonical[name]}" for name in sorted(canonical))
    request = "\n".join((method, quote(parts.path or "/"), "", *lines, "", names, hashlib.sha256(body).hexdigest()))
    steps = (time[:8], scope.region, scope.service, END)
    place = "/".join(steps)
    to_sign = "\n".join((ALGORITHM, time, place, hashlib.sha256(request.encode()).hexdigest()))
    key = reduce(_hmac, steps, f"AWS4{keys.secret}".encode())
    signature = _hmac(key, to_sign).hex()
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={keys.access}/{place}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@dataclass(frozen=True)
class Role:
    """A role to assume."""

    arn: str
    external_id: str = field(default="", repr=False)


@dataclass(frozen=True)
class Profile:
    """Whose keys, which roles to assume with them one after the other, where, and at which address of one's own."""

    keys: Keys
    roles: tuple[Role, ...]
    region: str
    endpoint: str


def read_profile(entry: Ecr, environ: Mapping[str, str]) -> Profile:
    """Return what `entry` names. Raises CredentialsUnusable."""
    files = _Files.of(entry, environ)
    roles: tuple[Role, ...] = ()
    if _has_keys(entry, environ):
        keys = _from_environment(environ)
    elif entry.file is not None and (text := _text(entry.file)).lstrip().startswith("{"):
        keys, files = _from_json(entry.file, text), _Files.of(entry.model_copy(update={"file": None}), environ)
    else:
        keys, roles = files.resolve(files.name)
    settings = files.section(files.name)
    region = entry.region or _region(environ) or settings.get("region", "")
    if not region:
        raise CredentialsUnusable("no AWS region is known", fix="write `region:` next to `kind: ecr`, or --region")
    if entry.role:
        roles = (*roles, Role(entry.role))
    return Profile(keys, roles, region, settings.get("endpoint_url", ""))


def decided(entry: Ecr, environ: Mapping[str, str]) -> Mapping[str, object]:
    """Return the fields of `entry` that the environment decides, but for keys in it."""
    found: dict[str, object] = {"region": entry.region or _region(environ) or None}
    if _has_keys(entry, environ):
        return found
    if entry.profile is None and environ.get("AWS_PROFILE"):
        found["profile"] = environ["AWS_PROFILE"]
    if entry.file is None and environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        found["file"] = Path(environ["AWS_SHARED_CREDENTIALS_FILE"]).absolute()
    return found


def _has_keys(entry: Ecr, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment's keys are meant: what is said of a file or a profile comes first."""
    return entry.file is None and entry.profile is None and bool(environ.get("AWS_ACCESS_KEY_ID"))


def _region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""


@dataclass(frozen=True)
class _Files:
    """AWS's two files, `credentials` and `config`, and the profile in them that is meant."""

    credentials: Path
    config: Path
    name: str

    @classmethod
    def of(cls, entry: Ecr, environ: Mapping[str, str]) -> _Files:
        folder = Path.home() / ".aws"
        credentials = entry.file or Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials")
        config = Path(environ.get("AWS_CONFIG_FILE") or folder / "config")
        return cls(credentials, config, entry.profile or environ.get("AWS_PROFILE") or "default")

    def section(self, name: str) -> Mapping[str, str]:
        """Return the settings of a profile; what `credentials` says comes first."""
        in_config = name if name == "default" else f"profile {name}"
        return {**_ini(self.config).get(in_config, {}), **_ini(self.credentials).get(name, {})}

    def resolve(self, name: str, seen: tuple[str, ...] = ()) -> tuple[Keys, tuple[Role, ...]]:
        """Return the keys at the bottom of a profile and the roles on the way up."""
        found = self.section(name)
        place = f"the profile '{name}' in {self.credentials} or {self.config}"
        if name in seen:
            raise CredentialsUnusable(f"{place} is its own source", fix="correct source_profile")
        unsupported = [key for key in _UNSUPPORTED if key in found]
        if unsupported:
            raise CredentialsUnusable(
                f"{place} has {unsupported[0]}, which only the AWS command line can use",
                fix=f"aws configure export-credentials --profile {name} > aws.json, and give that as file",
            )
        if "role_arn" in found:
            keys, roles = self.resolve(found.get("source_profile", "default"), (*seen, name))
            return keys, (*roles, Role(found["role_arn"], found.get("external_id", "")))
        if "aws_access_key_id" not in found or "aws_secret_access_key" not in found:
            raise CredentialsUnusable(f"{place} has no keys", fix="aws configure, or name another file or profile")
        keys = Keys(found["aws_access_key_id"], found["aws_secret_access_key"], found.get("aws_session_token", ""))
        return keys, ()


def _ini(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of an AWS file, which may be absent.

    Raises CredentialsUnusable; its text is never repeated.
    """
    parser = configparser.RawConfigParser(strict=False, default_section="\0")
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", "") or "it is not text") from None
    except configparser.Error as error:
        raise _unreadable(path, f"line {getattr(error, 'lineno', '?')} is not of its form") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _from_environment(environ: Mapping[str, str]) -> Keys:
    if not environ.get("AWS_SECRET_ACCESS_KEY"):
        raise CredentialsUnusable("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not", fix="set both, or neither")
    return Keys(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN", ""))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or "it is not text") from None


def _from_json(path: Path, text: str) -> Keys:
    """Return what the AWS command line prints: bare, or below `Credentials` (sts) or `AccessKey` (iam)."""
    try:
        content = json.loads(text)
        content = content.get("Credentials") or content.get("AccessKey") or content
        return Keys(
            str(content["AccessKeyId"]), str(content["SecretAccessKey"]), str(content.get("SessionToken") or "")
        )
    except (ValueError, AttributeError, TypeError, KeyError):
        raise _unreadable(path, "it has no AccessKeyId and SecretAccessKey") from None


def _unreadable(path: Path, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(f"{path} cannot be read", details=reason, fix="correct it, or name another file")


def login(entry: Ecr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`. Raises CredentialsUnusable."""
    profile = read_profile(entry, environ)
    session = _Session(profile, environ, now)
    keys = profile.keys
    for role in profile.roles:
        keys = session.assume(role, keys)
    return session.token(keys, entry.accounts)


@dataclass(frozen=True)
class _Session:
    profile: Profile
    environ: Mapping[str, str]
    now: datetime

    def assume(self, role: Role, keys: Keys) -> Keys:
        """Return the keys of a role (AWS STS API Reference, AssumeRole)."""
        form = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role.arn, "RoleSessionName": SESSION}
        if role.external_id:
            form["ExternalId"] = role.external_id
        body = urlencode(form).encode()
        service = self._service("AWS STS", "sts", "sts", (*keys.secrets, role.external_id))
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return _role_keys(service, service.post(body, self._signed("sts", service, headers, body, keys)))

    def token(self, keys: Keys, accounts: tuple[str, ...]) -> Login:
        """Return the password (Amazon ECR API Reference, GetAuthorizationToken).

        One serves all accounts that let us in.
        """
        body = b"{}"
        service = self._service("Amazon ECR", "ecr", "api.ecr", keys.secrets)
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}
        content = service.post_json(body, self._signed("ecr", service, headers, body, keys))
        try:
            data: Mapping[str, Any] = content["authorizationData"][0]
            username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
            expires = datetime.fromtimestamp(float(data["expiresAt"]), UTC)
            host = str(data["proxyEndpoint"]).partition("://")[2]
        except (KeyError, IndexError, TypeError, ValueError):
            raise service.strange("no authorizationData") from None
        beyond = host.partition(".")[2]
        hosts = tuple(f"{account}.{beyond}" for account in accounts) or (host,)
        return Login(dict.fromkeys(hosts, Credential(username, password)), self.now, expires)

    def _service(self, name: str, code: str, host: str, secrets: tuple[str, ...]) -> Service:
        """Return the service at the SDKs' address (AWS SDKs Reference, "Service-specific endpoints")."""
        region = self.profile.region
        own = self.environ.get(f"AWS_ENDPOINT_URL_{code.upper()}") or self.environ.get("AWS_ENDPOINT_URL")
        usual = f"https://{host}.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        return Service(
            name, f"{(own or self.profile.endpoint or usual).rstrip('/')}/", tuple(filter(None, secrets)), self.now
        )

    def _signed(
        self, code: str, service: Service, headers: Mapping[str, str], body: bytes, keys: Keys
    ) -> Mapping[str, str]:
        return signed("POST", service.url, headers, body, keys, Scope(self.profile.region, code), now=self.now)


def _role_keys(service: Service, body: bytes) -> Keys:
    try:
        answer = ElementTree.fromstring(body)  # noqa: S314  # from who has our keys' trust
        found = answer.find(f"{_STS}AssumeRoleResult/{_STS}Credentials")
    except ElementTree.ParseError:
        found = None
    texts = [] if found is None else [found.findtext(_STS + name) for name in _NAMES]
    access, secret, session = texts or (None, None, None)
    if not access or not secret or not session:
        raise service.strange("no keys")
    return Keys(access, secret, session)


_NAMES = ("AccessKeyId", "SecretAccessKey", "SessionToken")
