"""AWS accounts, found by botocore as the AWS command line does, and exchanged for a password at its registry."""

import base64
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.components.credentials.registry_login import Login, importing
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import files

SESSION = "sandbox"
# The first runs a program, the second sends a file elsewhere, and the others say where.
_OWN_FILES_ONLY = {"credential_process", "web_identity_token_file", "endpoint_url", "services"}


def login(entry: Ecr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`; botocore reads this process's environment, not `environ`."""
    with importing("ecr"):
        from botocore import exceptions as aws
        from botocore.parsers import ResponseParserError
        from botocore.session import Session
    session = Session()
    profile = entry.profile or environ.get("AWS_PROFILE") or "default"
    place = f"the profile '{profile}' in {entry.file or 'the files of AWS'}"
    try:
        _choose_account(session, entry, environ)
        region = entry.region or environ.get("AWS_REGION") or session.get_config_variable("region")
        if not region:
            raise CredentialsUnusable("no AWS region is known", fix="write `region:` next to `kind: ecr`, or --region")
        session.set_config_variable("region", region)
        if entry.role:
            client = session.create_client("sts", region_name=region)
            role = client.assume_role(RoleArn=entry.role, RoleSessionName=SESSION)["Credentials"]
            session.set_credentials(role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])
        # One password is valid for all accounts that give us access.
        client = session.create_client("ecr", region_name=region)
        data = client.get_authorization_token()["authorizationData"][0]
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
    username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    host = str(data["proxyEndpoint"]).partition("://")[2]
    hosts = tuple(f"{number}.{host.partition('.')[2]}" for number in entry.accounts) or (host,)
    return Login(dict.fromkeys(hosts, Credential(username, password)), now, data["expiresAt"].astimezone(UTC))


def _choose_account(session: Any, entry: Ecr, environ: Mapping[str, str]) -> None:
    if entry.file:
        if keys := _keys_of_json(entry.file):
            session.set_credentials(*keys)
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


def _require_harmless(file: Path, environ: Mapping[str, str]) -> None:
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


def _keys_of_json(path: Path) -> tuple[str, str, str | None] | None:
    """Return the keys that the AWS command line prints: bare, or below `Credentials` (sts) or `AccessKey` (iam)."""
    try:
        text = files.read_regular(path).decode()
        if not text.lstrip().startswith("{"):
            return None
        content = json_text.document(text)
        content = content.get("Credentials") or content.get("AccessKey") or content
        return str(content["AccessKeyId"]), str(content["SecretAccessKey"]), content.get("SessionToken")
    except (files.NotAFile, OSError) as error:
        reason = files.trouble(error)
    except (ValueError, AttributeError, TypeError, KeyError):
        reason = "it has no AccessKeyId and SecretAccessKey"
    raise CredentialsUnusable(f"{path} cannot be read", details=reason, fix="correct it, or name another file")
