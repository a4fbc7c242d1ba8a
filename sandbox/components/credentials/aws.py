"""AWS accounts, found by botocore as the AWS command line does, and exchanged for a password at its registry.

The password is valid for twelve hours.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from sandbox.components.credentials.cloud_sdk import importing
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_service import Service
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import files

SESSION = "sandbox"
_SERVICES = {"ecr": "Amazon ECR", "sts": "AWS STS", "sso": "AWS SSO", "sso-oidc": "AWS SSO"}
# The first runs a program, the second sends a file elsewhere, and the others say where.
_OWN_FILES_ONLY = ("credential_process", "web_identity_token_file", "endpoint_url", "services")
_SIGNING_IN = {"sso_session", "sso_start_url", "login_session"}
# Sources outside of profiles: asked only when the spec names neither file nor profile.
_NOT_OF_PROFILES = ("ec2-credentials-file", "boto-config", "container-role", "iam-role")


@dataclass(frozen=True)
class Keys:
    """An access key; temporary keys have a `session` token."""

    access: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)


@dataclass(frozen=True)
class LongLived:
    """The keys at the bottom of a profile, the role to assume with them, and the region."""

    keys: Keys
    role: str
    region: str


def login(entry: Ecr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`. Raises CredentialsUnusable.

    `environ` is this process's environment, which botocore reads itself.
    """
    account = _Account.of(entry, environ, now)
    with account.explained():
        keys = account.keys()
        if entry.role:
            keys = account.assume(entry.role, keys)
        return account.token(keys, entry.accounts)


def long_lived(entry: Ecr, environ: Mapping[str, str]) -> LongLived:
    """Return the long-lived keys of `entry`, for minikube, which assumes roles itself. Raises CredentialsUnusable."""
    now = datetime.now(UTC)
    account = _Account.of(entry, environ, now)
    chain = () if account.given else account.chain()
    bottom = account if len(chain) < 2 else _Account.of(entry.model_copy(update={"profile": chain[-1]}), environ, now)
    role = entry.role or (account.profiles.get(chain[0], {}).get("role_arn", "") if len(chain) > 1 else "")
    with bottom.explained():
        return LongLived(bottom.keys(), role, account.region)


def decided(entry: Ecr, environ: Mapping[str, str]) -> Mapping[str, object]:
    """Return the fields of `entry` that the environment decides, except for keys in it."""
    found: dict[str, object] = {"region": entry.region or _region(environ) or None}
    if _has_keys(entry, environ):
        return found
    if entry.profile is None and environ.get("AWS_PROFILE"):
        found["profile"] = environ["AWS_PROFILE"]
    if entry.file is None and environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        found["file"] = Path(environ["AWS_SHARED_CREDENTIALS_FILE"]).absolute()
    return found


def _has_keys(entry: Ecr, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment's keys are meant: a file or a profile that the spec names takes precedence."""
    return entry.file is None and entry.profile is None and bool(environ.get("AWS_ACCESS_KEY_ID"))


def _region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""


@dataclass(frozen=True, kw_only=True)
class _Account:
    """One entry's account in a session of botocore, all of whose requests go through `Service`.

    Keys that are `given`, by the environment or a file with nothing else, are used as they are, whatever profiles say.
    """

    session: Any
    profile: str
    place: str
    region: str
    now: datetime
    given: bool = False
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, entry: Ecr, environ: Mapping[str, str], now: datetime) -> _Account:
        """Open a session for `entry`. Raises CredentialsUnusable if that is impossible."""
        with importing("ecr"):
            from botocore.session import Session
        of_environment = _has_keys(entry, environ)
        if of_environment and not environ.get("AWS_SECRET_ACCESS_KEY"):
            raise CredentialsUnusable(
                "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not", fix="set both, or neither"
            )
        session = Session()
        file, keys = entry.file, None
        if file is not None and (text := _text(file)).lstrip().startswith("{"):
            keys = _from_json(file, text)
            file = None
        own = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
        config = environ.get("AWS_CONFIG_FILE") or Path.home() / ".aws" / "config"
        profile = entry.profile or environ.get("AWS_PROFILE") or "default"
        made = cls(
            session=session,
            profile=profile,
            place=f"the profile '{profile}' in {file or own} or {config}",
            region=entry.region or _region(environ),
            now=now,
            given=of_environment or keys is not None,
        )
        with made.explained():
            if file is not None:
                session.set_config_variable("credentials_file", str(file))
                if file.resolve() != own.resolve():
                    _require_harmless(file, made.chain())
            if file is not None or (entry.profile is not None and (keys is None or profile in made.profiles)):
                session.set_config_variable("profile", profile)
                made._leave_profiles_only()
            if keys is not None:
                session.set_credentials(keys.access, keys.secret, keys.session or None)
            elif not of_environment:
                made._require_no_code()
            return made._placed()

    def _leave_profiles_only(self) -> None:
        """Leave only profiles as sources where the spec names a file or a profile: others would have another's keys."""
        resolver = self.session.get_component("credential_provider")
        for provider in _NOT_OF_PROFILES:
            resolver.remove(provider)

    def _require_no_code(self) -> None:
        """Refuse a profile that asks its user for a code. Raises CredentialsUnusable."""
        for name in self.chain():
            if "mfa_serial" in self.profiles.get(name, {}):
                raise CredentialsUnusable(
                    f"the profile '{name}' has mfa_serial, and a renewal in the background cannot ask for a code",
                    details=self.place,
                    fix=f"aws configure export-credentials --profile {self.profile} > aws.json, and give that as file",
                )

    def _placed(self) -> _Account:
        """Return the account in its region. Raises CredentialsUnusable when none is known."""
        region = self.region or self.session.get_config_variable("region")
        if not region:
            raise CredentialsUnusable("no AWS region is known", fix="write `region:` next to `kind: ecr`, or --region")
        self.session.set_config_variable("region", region)
        self.session.register("before-send", self._send)
        return replace(self, region=region)

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the sections of AWS's two files."""
        found: Mapping[str, Mapping[str, Any]] = self.session.full_config.get("profiles", {})
        return found

    def chain(self) -> tuple[str, ...]:
        """Return the profile and those whose roles or keys it builds on, down to the last."""
        names = [self.profile]
        while True:
            section = self.profiles.get(names[-1], {})
            source = section.get("source_profile") if "role_arn" in section else None
            if source is None or source in names:
                return tuple(names)
            names.append(source)

    def keys(self) -> Keys:
        """Return the account's keys; this may ask services or run the user's program."""
        found = self.session.get_credentials()
        if found is None:
            raise self._no_keys()
        frozen = found.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")

    def assume(self, role: str, keys: Keys) -> Keys:
        """Return the keys of a role."""
        answer = self._client("sts", keys).assume_role(RoleArn=role, RoleSessionName=SESSION)
        try:
            found = answer["Credentials"]
            return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        except KeyError:
            raise self._service("sts").strange("no keys") from None

    def token(self, keys: Keys, accounts: tuple[str, ...]) -> Login:
        """Return the password (GetAuthorizationToken); one is valid for all accounts that give us access."""
        answer = self._client("ecr", keys).get_authorization_token()
        try:
            data = answer["authorizationData"][0]
            username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
            expires: datetime = data["expiresAt"].astimezone(UTC)
            host = str(data["proxyEndpoint"]).partition("://")[2]
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._service("ecr").strange("no authorizationData") from None
        beyond = host.partition(".")[2]
        hosts = tuple(f"{account}.{beyond}" for account in accounts) or (host,)
        return Login(dict.fromkeys(hosts, Credential(username, password)), self.now, expires)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise CredentialsUnusable for botocore's errors in the block, most of which contain no secret."""
        from botocore import exceptions as aws
        from botocore.parsers import ResponseParserError  # whose text is the answer

        try:
            yield
        except (aws.ProfileNotFound, aws.NoCredentialsError):
            raise self._no_keys() from None
        except (aws.SSOError, aws.TokenRetrievalError, aws.LoginError) as error:
            fix = self._sign_in("login" if isinstance(error, aws.LoginError) else "sso login")
            brief = f"the sign-in of the profile '{self._signed_in()}' has ended"
            raise CredentialsUnusable(brief, details=self.place, fix=fix) from None
        except aws.InfiniteLoopConfigError:
            raise CredentialsUnusable(f"{self.place} is its own source", fix="correct source_profile") from None
        except aws.ConfigParseError as error:
            raise _unreadable(Path(error.kwargs["path"]), "it is not of the form of AWS's files") from None
        except aws.CredentialRetrievalError as error:  # whose text is a program's output
            details = f"{self.place}: {error.kwargs.get('provider')}"
            fix = f"see why: aws configure export-credentials --profile {self.profile}"
            raise CredentialsUnusable("the keys of a profile cannot be had", details=details, fix=fix) from None
        except (aws.InvalidConfigError, aws.PartialCredentialsError, aws.MissingDependencyException) as error:
            fix = "correct it, or name another profile"
            raise CredentialsUnusable(f"{self.place} cannot be used", details=str(error), fix=fix) from None
        except (aws.BotoCoreError, ResponseParserError, KeyError, ValueError, TypeError) as error:
            service = self._service(self.asked[-1]) if self.asked else Service("AWS", self.now)
            raise service.strange(type(error).__name__) from None
        except OSError as error:
            raise _unreadable(Path(error.filename or "a file"), error.strerror or type(error).__name__) from None

    def _client(self, service: str, keys: Keys) -> Any:
        return self.session.create_client(
            service,
            region_name=self.region,
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.session or None,
        )

    def _service(self, code: str) -> Service:
        return Service(_SERVICES.get(code, f"AWS {code}"), self.now, self._sign_in() if code.startswith("sso") else "")

    def _send(self, request: Any, event_name: str, **_: Any) -> Any:
        """Answer a request of botocore's in its place (its event `before-send`)."""
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ClientError

        code = event_name.split(".")[1]
        self.asked.append(code)
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items()
        }
        try:
            answer = self._service(code).ask(request.url, request.body, headers, method=request.method)
        except CredentialsUnusable:
            if code != "sso-oidc":
                raise
            raise ClientError({}, event_name) from None  # the sign-in is not renewed, but may still be valid
        return AWSResponse(request.url, answer.status_code, answer.headers, _Body(answer.content))

    def _signed_in(self) -> str:
        """Return the profile to sign in with: the one of the chain that says where."""
        return next((name for name in self.chain() if _SIGNING_IN & self.profiles.get(name, {}).keys()), self.profile)

    def _sign_in(self, command: str = "sso login") -> str:
        return f"aws {command} --profile {self._signed_in()}; then: sandbox credentials refresh"

    def _no_keys(self) -> CredentialsUnusable:
        return CredentialsUnusable(f"{self.place} has no keys", fix="aws configure, or name another file or profile")


class _Body(BytesIO):
    """An answer's body, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        """Return the whole of it."""
        yield self.read()


def _require_harmless(file: Path, profiles: tuple[str, ...]) -> None:
    """Refuse settings that only the user's own files may have, in a file that a spec names.

    Raises CredentialsUnusable.
    """
    from botocore.configloader import raw_config_parse

    sections = raw_config_parse(str(file), parse_subsections=False)
    for name in profiles:
        for key in _OWN_FILES_ONLY:
            if key in sections.get(name, {}):
                raise CredentialsUnusable(
                    f"the profile '{name}' in {file} has {key}, which only your own AWS files may have",
                    details="a sandbox.yaml names this file, and may come from elsewhere",
                    fix=f"write it into ~/.aws/config, or: export AWS_SHARED_CREDENTIALS_FILE={shlex.quote(str(file))}",
                )


def _text(path: Path) -> str:
    try:
        return files.read_regular(path).decode()
    except (files.NotAFile, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, files.trouble(error)) from None


def _from_json(path: Path, text: str) -> Keys:
    """Return what the AWS command line prints: bare, or below `Credentials` (sts) or `AccessKey` (iam)."""
    try:
        content = json_text.document(text)
        content = content.get("Credentials") or content.get("AccessKey") or content
        found = content["AccessKeyId"], content["SecretAccessKey"], content.get("SessionToken") or ""
        if all(isinstance(one, str) for one in found):
            return Keys(*found)
    except (ValueError, AttributeError, TypeError, KeyError):
        pass
    raise _unreadable(path, "it has no AccessKeyId and SecretAccessKey")


def _unreadable(path: Path, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(f"{path} cannot be read", details=reason, fix="correct it, or name another file")
