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
from pathlib import Path
from typing import Any

from sandbox.components.credentials.cloud_sdk import importing
from sandbox.components.credentials.registry_login import Login
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import files

SESSION = "sandbox"
# The first runs a program, the second sends a file elsewhere, and the others say where.
_OWN_FILES_ONLY = ("credential_process", "web_identity_token_file", "endpoint_url", "services")
_SIGNING_IN = {"sso_session", "sso_start_url", "login_session"}


@dataclass(frozen=True)
class Keys:
    """An access key; temporary keys have a `session` token."""

    access: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)


def login(entry: Ecr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`. Raises CredentialsUnusable.

    `environ` is this process's environment, which botocore reads itself.
    """
    account = _Account.of(entry, environ)
    with account.explained():
        keys = account.assume(entry.role) if entry.role else account.keys()
        # One password is valid for all accounts that give us access.
        data = account.client("ecr", keys).get_authorization_token()["authorizationData"][0]
    username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    host = str(data["proxyEndpoint"]).partition("://")[2]
    hosts = tuple(f"{number}.{host.partition('.')[2]}" for number in entry.accounts) or (host,)
    return Login(dict.fromkeys(hosts, Credential(username, password)), now, data["expiresAt"].astimezone(UTC))


def decided(entry: Ecr, environ: Mapping[str, str]) -> Mapping[str, object]:
    """Return the fields of `entry` that the environment decides, except for keys in it."""
    fields: dict[str, object] = {"region": entry.region or _region(environ) or None}
    if _has_keys(entry, environ):
        return fields
    if entry.profile is None and environ.get("AWS_PROFILE"):
        fields["profile"] = environ["AWS_PROFILE"]
    if entry.file is None and environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        fields["file"] = Path(environ["AWS_SHARED_CREDENTIALS_FILE"]).absolute()
    return fields


def _has_keys(entry: Ecr, environ: Mapping[str, str]) -> bool:
    return entry.file is None and entry.profile is None and bool(environ.get("AWS_ACCESS_KEY_ID"))


def _region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""


@dataclass(frozen=True, kw_only=True)
class _Account:
    """One entry's account in a session of botocore; `place` is where its keys are, for people."""

    session: Any
    profile: str
    place: str
    region: str

    @classmethod
    def of(cls, entry: Ecr, environ: Mapping[str, str]) -> _Account:
        """Open a session for `entry`. Raises CredentialsUnusable."""
        with importing("ecr"):
            from botocore.session import Session
        session = Session()
        profile = entry.profile or environ.get("AWS_PROFILE") or "default"
        file = entry.file or environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
        place = f"the profile '{profile}' in {file} or {environ.get('AWS_CONFIG_FILE', '~/.aws/config')}"
        keys = _of_json(entry.file) if entry.file else None
        if entry.file and keys is None:
            session.set_config_variable("credentials_file", str(entry.file))
        if entry.profile or (entry.file and keys is None):
            session.set_config_variable("profile", profile)  # which takes precedence over keys in the environment
        if keys is not None:
            session.set_credentials(keys.access, keys.secret, keys.session or None)
        account = cls(session=session, profile=profile, place=place, region=entry.region or _region(environ))
        with account.explained():
            if entry.file and keys is None:
                _require_harmless(entry.file, environ)
            if keys is None and not _has_keys(entry, environ):  # such keys are used whatever profiles say
                account._require_no_code()
            region = account.region or session.get_config_variable("region")
        if not region:
            raise CredentialsUnusable("no AWS region is known", fix="write `region:` next to `kind: ecr`, or --region")
        session.set_config_variable("region", region)
        return replace(account, region=region)

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        profiles: Mapping[str, Mapping[str, Any]] = self.session.full_config.get("profiles", {})
        return profiles

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
        credentials = self.session.get_credentials()
        if credentials is None:
            raise self._no_keys()
        frozen = credentials.get_frozen_credentials()
        return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")

    def assume(self, role: str) -> Keys:
        answer = self.client("sts", self.keys()).assume_role(RoleArn=role, RoleSessionName=SESSION)["Credentials"]
        return Keys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])

    def client(self, service: str, keys: Keys) -> Any:
        return self.session.create_client(
            service,
            region_name=self.region,
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.session or None,
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        from botocore import exceptions as aws
        from botocore.parsers import ResponseParserError

        fix = f"see what it says: aws sts get-caller-identity --profile {self.profile}; sandbox credentials refresh"
        try:
            yield
        except (aws.ProfileNotFound, aws.NoCredentialsError):
            raise self._no_keys() from None
        except (aws.SSOError, aws.TokenRetrievalError, aws.LoginError) as error:
            brief = f"the sign-in of the profile '{self._signed_in()}' has ended"
            fix = self._sign_in("login" if isinstance(error, aws.LoginError) else "sso login")
            raise CredentialsUnusable(brief, details=self.place, fix=fix) from None
        except aws.CredentialRetrievalError as error:  # whose text is a program's output
            details = f"{self.place}: {error.kwargs.get('provider')}"
            fix = f"see why: aws configure export-credentials --profile {self.profile}"
            raise CredentialsUnusable("the keys of a profile cannot be had", details=details, fix=fix) from None
        except aws.ClientError as error:
            raise CredentialsUnusable("AWS refuses these credentials", details=str(error), fix=fix) from None
        except ResponseParserError:  # whose text is the answer
            raise CredentialsUnusable("AWS gave an unusable answer", fix=fix) from None
        except aws.BotoCoreError as error:
            raise CredentialsUnusable(f"{self.place} cannot be used", details=str(error), fix=fix) from None

    def _require_no_code(self) -> None:
        for name in self.chain():
            if "mfa_serial" in self.profiles.get(name, {}):
                raise CredentialsUnusable(
                    f"the profile '{name}' has mfa_serial, and a renewal in the background cannot ask for a code",
                    details=self.place,
                    fix=f"aws configure export-credentials --profile {self.profile} > aws.json, and give that as file",
                )

    def _signed_in(self) -> str:
        return next((name for name in self.chain() if _SIGNING_IN & self.profiles.get(name, {}).keys()), self.profile)

    def _sign_in(self, command: str) -> str:
        return f"aws {command} --profile {self._signed_in()}; then: sandbox credentials refresh"

    def _no_keys(self) -> CredentialsUnusable:
        return CredentialsUnusable(f"{self.place} has no keys", fix="aws configure, or name another file or profile")


def _require_harmless(file: Path, environ: Mapping[str, str]) -> None:
    """Refuse settings that only the user's own files may have, in a file that a spec names.

    Raises CredentialsUnusable.
    """
    from botocore.configloader import raw_config_parse

    own = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    if file.resolve() == own.resolve():
        return
    for name, section in raw_config_parse(str(file), parse_subsections=False).items():
        for key in section.keys() & set(_OWN_FILES_ONLY):
            raise CredentialsUnusable(
                f"the profile '{name}' in {file} has {key}, which only your own AWS files may have",
                details="a sandbox.yaml names this file, and may come from elsewhere",
                fix=f"write it into ~/.aws/config, or: export AWS_SHARED_CREDENTIALS_FILE={shlex.quote(str(file))}",
            )


def _of_json(path: Path) -> Keys | None:
    """Return what the AWS command line prints: bare, or below `Credentials` (sts) or `AccessKey` (iam).

    None for a file that is not JSON. Raises CredentialsUnusable.
    """
    try:
        text = files.read_regular(path).decode()
    except (files.NotAFile, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, files.trouble(error)) from None
    if not text.lstrip().startswith("{"):
        return None
    try:
        content = json_text.document(text)
        content = content.get("Credentials") or content.get("AccessKey") or content
        return Keys(str(content["AccessKeyId"]), str(content["SecretAccessKey"]), content.get("SessionToken") or "")
    except (ValueError, AttributeError, TypeError, KeyError):
        raise _unreadable(path, "it has no AccessKeyId and SecretAccessKey") from None


def _unreadable(path: Path, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(f"{path} cannot be read", details=reason, fix="correct it, or name another file")
