"""AWS accounts, found by botocore as the AWS command line does, and exchanged for a password at its registry.

The password is valid for twelve hours.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
_OWN_FILES_ONLY = {"credential_process", "web_identity_token_file", "endpoint_url", "services"}


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
    with importing("ecr"):
        from botocore.session import Session
    session = Session()
    profile = entry.profile or environ.get("AWS_PROFILE") or "default"
    with _explained(profile, f"the profile '{profile}' in {entry.file or 'the files of AWS'}"):
        _choose_account(session, entry, environ)
        region = entry.region or environ.get("AWS_REGION") or session.get_config_variable("region")
        if not region:
            raise CredentialsUnusable("no AWS region is known", fix="write `region:` next to `kind: ecr`, or --region")
        session.set_config_variable("region", region)
        keys = _keys(session)
        if entry.role:
            client = _client(session, "sts", region, keys)
            role = client.assume_role(RoleArn=entry.role, RoleSessionName=SESSION)["Credentials"]
            keys = Keys(role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])
        # One password is valid for all accounts that give us access.
        data = _client(session, "ecr", region, keys).get_authorization_token()["authorizationData"][0]
    username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    host = str(data["proxyEndpoint"]).partition("://")[2]
    hosts = tuple(f"{number}.{host.partition('.')[2]}" for number in entry.accounts) or (host,)
    return Login(dict.fromkeys(hosts, Credential(username, password)), now, data["expiresAt"].astimezone(UTC))


def _choose_account(session: Any, entry: Ecr, environ: Mapping[str, str]) -> None:
    if entry.file:
        if keys := _of_json(entry.file):
            session.set_credentials(keys.access, keys.secret, keys.session or None)
            return
        _require_harmless(entry.file, environ)
        session.set_config_variable("credentials_file", str(entry.file))
    elif not entry.profile and environ.get("AWS_ACCESS_KEY_ID"):
        return
    profile = entry.profile or environ.get("AWS_PROFILE") or "default"
    if entry.profile or entry.file:
        session.set_config_variable("profile", profile)  # which takes precedence over keys in the environment
    if "mfa_serial" in session.full_config.get("profiles", {}).get(profile, {}):
        raise CredentialsUnusable(
            f"the profile '{profile}' has mfa_serial, and a renewal in the background cannot ask for a code",
            fix=f"aws configure export-credentials --profile {profile} > aws.json, and give that as file",
        )


def _keys(session: Any) -> Keys:
    """Return the account's keys; this may ask services or run the user's program."""
    from botocore.exceptions import NoCredentialsError

    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    frozen = credentials.get_frozen_credentials()
    return Keys(frozen.access_key, frozen.secret_key, frozen.token or "")


def _client(session: Any, service: str, region: str, keys: Keys) -> Any:
    return session.create_client(
        service,
        region_name=region,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.session or None,
    )


@contextmanager
def _explained(profile: str, place: str) -> Iterator[None]:
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (aws.ProfileNotFound, aws.NoCredentialsError):
        fix = "aws configure, or name another file or profile"
        raise CredentialsUnusable(f"{place} has no keys", fix=fix) from None
    except (aws.SSOError, aws.TokenRetrievalError, aws.LoginError) as error:
        command = "login" if isinstance(error, aws.LoginError) else "sso login"
        fix = f"aws {command} --profile {profile}, or the profile that it builds on; then: sandbox credentials refresh"
        raise CredentialsUnusable(f"the sign-in of the profile '{profile}' has ended", details=place, fix=fix) from None
    except (aws.ClientError, aws.BotoCoreError, ResponseParserError) as error:
        # The text of these is a program's output, or an answer of the service.
        secret = isinstance(error, aws.CredentialRetrievalError | ResponseParserError)
        raise CredentialsUnusable(
            "AWS refuses these credentials" if isinstance(error, aws.ClientError) else f"{place} cannot be used",
            details=type(error).__name__ if secret else str(error),
            fix=f"see what it says: aws sts get-caller-identity --profile {profile}; then: sandbox credentials refresh",
        ) from None


def _require_harmless(file: Path, environ: Mapping[str, str]) -> None:
    """Refuse settings that only the user's own files may have, in a file that a spec names.

    Raises CredentialsUnusable.
    """
    from botocore.configloader import raw_config_parse

    own = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    if file.resolve() == own.resolve():
        return
    for name, section in raw_config_parse(str(file), parse_subsections=False).items():
        for key in section.keys() & _OWN_FILES_ONLY:
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
        if not text.lstrip().startswith("{"):
            return None
        content = json_text.document(text)
        content = content.get("Credentials") or content.get("AccessKey") or content
        return Keys(str(content["AccessKeyId"]), str(content["SecretAccessKey"]), content.get("SessionToken") or "")
    except (files.NotAFile, OSError) as error:
        reason = files.trouble(error)
    except (ValueError, AttributeError, TypeError, KeyError):
        reason = "it has no AccessKeyId and SecretAccessKey"
    raise CredentialsUnusable(f"{path} cannot be read", details=reason, fix="correct it, or name another file")
