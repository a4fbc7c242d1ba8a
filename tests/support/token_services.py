"""Doubles of the clouds' token services, which the vendors' libraries ask; every secret has the word CANARY in it."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sandbox.components.certificates import pem
from sandbox.components.certificates.facts import KeyPair
from tests.support import http_server
from tests.support.tls import certificate, presenting

CANARY = "canary"
GOOGLE_TOKEN = f"{CANARY}-gcr-token"
ECR_PASSWORD = f"{CANARY}-ecr-password"
ACR_TOKEN = f"{CANARY}-acr-token"
REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/puller"
STS = "https://sts.amazonaws.com/doc/2011-06-15/"
HOUR = timedelta(hours=1)

Answer = tuple[int, str, bytes]


@cache
def _google_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Google:
    """Gives tokens for JWTs (RFC 7523), refresh tokens and tokens of a workload (RFC 8693), after some refusals."""

    email: str = "puller@demo.iam.gserviceaccount.com"
    token: str = GOOGLE_TOKEN
    subject: str = f"{CANARY}-google-subject"
    refusals: int = 0
    scopes: list[str] = field(default_factory=list)
    requests: int = 0

    def key_file(self, url: str) -> dict[str, Any]:
        return {
            "type": "service_account",
            "client_email": self.email,
            "private_key_id": "one",
            "private_key": _google_key().decode(),
            "token_uri": f"{url}/token",
        }

    def consent_file(self) -> dict[str, Any]:
        return {
            "type": "authorized_user",
            "client_id": "me",
            "client_secret": f"{CANARY}-google-client",
            "refresh_token": f"{CANARY}-google-refresh",
        }

    def workload_file(self, url: str, source: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{url}/token",
            "credential_source": dict(source),
        }

    def answer(self, form: Mapping[str, str]) -> Answer:
        self.requests += 1
        self.refusals -= 1
        if self.refusals >= 0 or form.get("subject_token", self.subject) != self.subject:
            return _json({"error": "invalid_grant", "error_description": "Invalid grant"}, status=400)
        if "assertion" in form:
            self.scopes.append(json.loads(decoded(form["assertion"].split(".")[1]))["scope"])
        elif "scope" in form:
            self.scopes.append(form["scope"])
        return _json({"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"})

    def impersonate(self, body: bytes) -> Answer:
        self.scopes.append(" ".join(json.loads(body)["scope"]))
        return _json({"accessToken": self.token, "expireTime": f"{datetime.now(UTC) + HOUR:%Y-%m-%dT%H:%M:%SZ}"})


@dataclass
class Aws:
    """STS, ECR and SSO of one account; `asked` are the services and the access keys that asked them."""

    keys: dict[str, tuple[str, str]] = field(default_factory=lambda: {"AKIDHOME": (f"{CANARY}-aws-secret", "")})
    identity: str = f"{CANARY}-web-identity"
    sign_in: str = f"{CANARY}-sso-token"
    asked: list[str] = field(default_factory=list)

    def answer(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if b"AssumeRoleWithWebIdentity" in body:
            self.asked.append("sts web identity")
            return self._role(dict(parse_qsl(body.decode())), "AssumeRoleWithWebIdentity")
        access = headers["authorization"].partition("Credential=")[2].partition("/")[0]
        ecr = "x-amz-target" in headers
        self.asked.append(f"{'ecr' if ecr else 'sts'} {access}")
        if ecr and self.keys.get(access, ("", "no"))[1] == headers.get("x-amz-security-token", ""):
            return self._token()
        if ecr:
            said = {"__type": "UnrecognizedClientException", "message": "The security token is invalid."}
            return 403, "application/x-amz-json-1.1", json.dumps(said).encode()
        return self._role(dict(parse_qsl(body.decode())), "AssumeRole")

    def _token(self) -> Answer:
        data = {
            "authorizationToken": base64.b64encode(f"AWS:{ECR_PASSWORD}".encode()).decode(),
            "expiresAt": (datetime.now(UTC) + 12 * HOUR).timestamp(),
            "proxyEndpoint": f"https://123456789012.dkr.ecr.{REGION}.amazonaws.com",
        }
        return 200, "application/x-amz-json-1.1", json.dumps({"authorizationData": [data]}).encode()

    def portal(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The SSO portal's GetRoleCredentials."""
        self.asked.append(f"sso {query['account_id']}/{query['role_name']}")
        if headers["x-amz-sso_bearer_token"] != self.sign_in:
            return _json({"__type": "UnauthorizedException", "message": "Session token invalid"}, status=401)
        self.keys["ASIASSO"] = (f"{CANARY}-sso-secret", f"{CANARY}-sso-session")
        names = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration")
        values = ("ASIASSO", *self.keys["ASIASSO"], int((datetime.now(UTC) + HOUR).timestamp() * 1000))
        return _json({"roleCredentials": dict(zip(names, values, strict=True))})

    def _role(self, form: Mapping[str, str], kind: str) -> Answer:
        if form["RoleArn"] != ROLE or form.get("WebIdentityToken", self.identity) != self.identity:
            error = f"<Code>AccessDenied</Code><Message>not authorized to assume {form['RoleArn']}</Message>"
            return 403, "text/xml", f'<ErrorResponse xmlns="{STS}"><Error>{error}</Error></ErrorResponse>'.encode()
        self.keys["ASIAROLE"] = (f"{CANARY}-role-secret", f"{CANARY}-role-session==")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        values = ("ASIAROLE", *self.keys["ASIAROLE"], (datetime.now(UTC) + HOUR).isoformat())
        inside = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, values, strict=True))
        result = f"<{kind}Result><Credentials>{inside}</Credentials></{kind}Result>"
        return 200, "text/xml", f'<{kind}Response xmlns="{STS}">{result}</{kind}Response>'.encode()


@dataclass
class Azure:
    """The directory of one tenant and the token service of a registry that trusts it."""

    tenant: str = "contoso"
    client: str = "puller"
    secret: str = f"{CANARY}-azure-secret"
    access: str = f"{CANARY}-azure-access"
    assertion: str = f"{CANARY}-azure-assertion"
    token: str = ACR_TOKEN

    def principal(self, url: str) -> dict[str, str]:
        return {
            "clientId": self.client,
            "clientSecret": self.secret,
            "tenantId": self.tenant,
            "activeDirectoryEndpointUrl": url,
        }

    def metadata(self, url: str, tenant: str) -> Answer:
        """OpenID Connect Discovery 1.0."""
        place = f"{url}/{tenant}/oauth2/v2.0"
        endpoints = {"authorization_endpoint": f"{place}/authorize", "token_endpoint": f"{place}/token"}
        return _json({"issuer": f"{url}/{tenant}/v2.0", **endpoints})

    def directory(self, tenant: str, form: Mapping[str, str]) -> Answer:
        given = form.get("client_secret") or form["client_assertion"]
        if (tenant, form["client_id"]) != (self.tenant, self.client) or given not in (self.secret, self.assertion):
            said = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret.\r\nTrace"}
            return _json(said, status=401)
        return _json({"token_type": "Bearer", "expires_in": 3599, "access_token": self.access})

    def exchange(self, host: str, form: Mapping[str, str]) -> Answer:
        right = {"grant_type": "access_token", "service": host, "tenant": self.tenant, "access_token": self.access}
        return _json({"refresh_token": self.token}) if dict(form) == right else _json({}, status=401)


class Services(ThreadingHTTPServer):
    """All of them on one port of this machine; the directory speaks TLS at `authority`, as Azure's library wants."""

    daemon_threads = True
    authority = ""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.google, self.aws, self.azure = Google(), Aws(), Azure()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        place, _, query = path.partition("?")
        form = dict(parse_qsl(body.decode()))
        match place.split("/")[1:]:
            case [tenant, *_, "openid-configuration"]:
                return self.azure.metadata(self.authority, tenant)
            case [""]:
                return self.aws.answer(headers, body)
            case ["federation", "credentials"]:
                return self.aws.portal(dict(parse_qsl(query)), headers)
            case ["oauth2", "exchange"]:
                return self.azure.exchange(headers["host"], form)
            case ["token"]:
                return self.google.answer(form)
            case ["impersonate", *_]:
                return self.google.impersonate(body)
            case [tenant, *_]:
                return self.azure.directory(tenant, form)
        raise ValueError(path)


def _json(content: Mapping[str, Any], *, status: int = 200) -> Answer:
    return status, "application/json", json.dumps(content).encode()


class _Handler(http_server.Handler):
    server: Services

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, kind, content = self.server.answer(self.path, headers, body)
        self.reply(status, content, {"Content-Type": kind})

    do_POST = do_GET


@contextmanager
def serving(authority: Path, host: str = "login.example.test", address: str = "127.0.0.1") -> Iterator[Services]:
    """The services for the length of the block; `authority` is the file to trust where they speak TLS, as `host`."""
    services, secure = Services(), Services(address)
    secure.google, secure.aws, secure.azure = services.google, services.aws, services.azure
    services.authority = secure.authority = f"https://{host}:{secure.server_address[1]}"
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    made = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token services of tests")]),
        key,
        (x509.SubjectAlternativeName([subject]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
    )
    pair = KeyPair(pem.dump_key(key), pem.dump_certificate(made))
    authority.write_bytes(pair.cert_pem)
    with TemporaryDirectory() as folder:
        tls = presenting(pair, Path(folder))
    with http_server.serving(services), http_server.serving(secure, tls):
        yield services


def jwt(expires: datetime, **more: str) -> str:
    claims = json.dumps({"exp": int(expires.timestamp()), **more}).encode()
    return f"{CANARY}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{CANARY}"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
