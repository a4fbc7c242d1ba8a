"""The keys that the AWS command line would use: from the environment, a profile of its files, or a file of JSON."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.components.credentials.sigv4 import Keys
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import CredentialsUnusable

_UNSUPPORTED = (
    "sso_session", "sso_start_url", "credential_process", "web_identity_token_file", "credential_source", "mfa_serial",
)  # fmt: skip


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


def read(entry: Ecr, environ: Mapping[str, str]) -> Profile:
    """What `entry` names. Raises CredentialsUnusable."""
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
        raise CredentialsUnusable("no AWS region is known", fix="write `region:` beside `kind: ecr`, or --region")
    if entry.role:
        roles = (*roles, Role(entry.role))
    return Profile(keys, roles, region, settings.get("endpoint_url", ""))


def decided(entry: Ecr, environ: Mapping[str, str]) -> Mapping[str, object]:
    """The fields of `entry` that the environment decides, but for keys in it."""
    found: dict[str, object] = {"region": entry.region or _region(environ) or None}
    if _has_keys(entry, environ):
        return found
    if entry.profile is None and environ.get("AWS_PROFILE"):
        found["profile"] = environ["AWS_PROFILE"]
    if entry.file is None and environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        found["file"] = Path(environ["AWS_SHARED_CREDENTIALS_FILE"]).absolute()
    return found


def _has_keys(entry: Ecr, environ: Mapping[str, str]) -> bool:
    """Whether the environment's keys are meant: what is said of a file or a profile comes first."""
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
        """The settings of a profile; what `credentials` says comes first."""
        in_config = name if name == "default" else f"profile {name}"
        return {**_ini(self.config).get(in_config, {}), **_ini(self.credentials).get(name, {})}

    def resolve(self, name: str, seen: tuple[str, ...] = ()) -> tuple[Keys, tuple[Role, ...]]:
        """The keys at the bottom of a profile and the roles on the way up."""
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
    """The sections of an AWS file, which may be absent. Raises CredentialsUnusable; its text is never repeated."""
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
    """What the AWS command line prints: bare, or below `Credentials` (sts) or `AccessKey` (iam)."""
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
