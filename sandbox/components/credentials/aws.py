"""AWS keys traded for a password at its Elastic Container Registry, which holds for twelve hours."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from sandbox.components.credentials import aws_profile
from sandbox.components.credentials.aws_profile import Profile, Role
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.sigv4 import Keys, Scope, signed
from sandbox.components.credentials.token_service import Service
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential

TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
SESSION = "sandbox"
_STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


def login(entry: Ecr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """The account at the registries of `entry`. Raises CredentialsUnusable."""
    profile = aws_profile.read(entry, environ)
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
        """The keys of a role (AWS STS API Reference, AssumeRole)."""
        form = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role.arn, "RoleSessionName": SESSION}
        if role.external_id:
            form["ExternalId"] = role.external_id
        body = urlencode(form).encode()
        service = self._service("AWS STS", "sts", "sts", (*keys.secrets, role.external_id))
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        return _role_keys(service, service.post(body, self._signed("sts", service, headers, body, keys)))

    def token(self, keys: Keys, accounts: tuple[str, ...]) -> Login:
        """The password (Amazon ECR API Reference, GetAuthorizationToken); one serves all accounts that let us in."""
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
        """The service at the address that the SDKs would use (AWS SDKs Reference, "Service-specific endpoints")."""
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
