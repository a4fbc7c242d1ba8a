"""Doubles of the clouds' token services that check what the real ones check: signatures, times, grants.

Every secret they know or give has the word CANARY in it, so that it can be looked for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support import http_server

CANARY = "canary"
GOOGLE_TOKEN = f"{CANARY}-gcr-token"
ECR_PASSWORD = f"{CANARY}-ecr-password"
ACR_TOKEN = f"{CANARY}-acr-token"
REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/puller"
STS = "https://sts.amazonaws.com/doc/2011-06-15/"
SKEW = timedelta(minutes=5)
ECR_CODES = {
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "ExpiredToken": "ExpiredTokenException",
}

Answer = tuple[int, str, bytes]


class Refused(Exception):
    """A service says no: HTTP status and the body's two words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@cache
def _google_key() -> rsa.RSAPrivateKey:
    """A key of Google's service account; to make one takes 36 ms."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Google:
    """Takes JWTs of its service account (RFC 7523), refresh tokens, and tokens of a workload (RFC 8693)."""

    email: str = "puller@demo.iam.gserviceaccount.com"
    refresh: str = f"{CANARY}-google-refresh"
    client_secret: str = f"{CANARY}-google-client"
    token: str = GOOGLE_TOKEN
    lifetime: int = 3599
    key: rsa.RSAPrivateKey = field(default_factory=_google_key)
    subject: str = f"{CANARY}-google-subject"
    federated: str = f"{CANARY}-google-federated"
    scopes: list[str] = field(default_factory=list)
    checks_times: bool = True

    def key_file(self, url: str) -> dict[str, Any]:
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "client_email": self.email,
            "private_key_id": "one",
            "private_key": pem,
            "token_uri": f"{url}/token",
        }

    def consent_file(self, url: str) -> dict[str, Any]:
        return {
            "type": "authorized_user",
            "client_id": "me",
            "client_secret": self.client_secret,
            "refresh_token": self.refresh,
            "token_uri": f"{url}/token",
        }

    def workload_file(self, url: str, source: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{url}/token",
            "service_account_impersonation_url": f"{url}/impersonate/{self.email}:generateAccessToken",
            "credential_source": dict(source),
        }

    def impersonate(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Mapping[str, Any]:
        if headers["authorization"] != f"Bearer {self.federated}":
            raise Refused(401, "UNAUTHENTICATED", f"no such token: {headers['authorization']}")
        self.scopes.append(" ".join(json.loads(body)["scope"]))
        return {
            "accessToken": self.token,
            "expireTime": f"{now + timedelta(seconds=self.lifetime):%Y-%m-%dT%H:%M:%SZ}",
        }

    def answer(self, form: Mapping[str, str], now: datetime) -> Mapping[str, Any]:
        if form.get("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange":
            if form["subject_token"] != self.subject:
                raise Refused(400, "invalid_grant", f"The token {form['subject_token']} is not of the pool.")
            return {"access_token": self.federated, "expires_in": self.lifetime, "token_type": "Bearer"}
        if form.get("grant_type") == "refresh_token":
            if (form["refresh_token"], form["client_secret"]) != (self.refresh, self.client_secret):
                raise Refused(400, "invalid_grant", f"Token {form['refresh_token']} has been expired or revoked.")
        elif form.get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            self._check(form["assertion"], int(now.timestamp()))
        else:
            raise Refused(400, "unsupported_grant_type", "Invalid grant_type")
        return {"access_token": self.token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def _check(self, assertion: str, now: int) -> None:
        header, claims, signature = assertion.split(".")
        try:
            self.key.public_key().verify(
                decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), SHA256()
            )
        except InvalidSignature:
            raise Refused(400, "invalid_grant", "Invalid JWT Signature.") from None
        said, about = json.loads(decoded(claims)), json.loads(decoded(header))
        assert about == {"alg": "RS256", "typ": "JWT", "kid": "one"}
        if said["iss"] != self.email:
            raise Refused(400, "invalid_grant", "Invalid grant: account not found")
        if said["aud"] != "https://oauth2.googleapis.com/token" or said["exp"] - said["iat"] > 3600:
            raise Refused(400, "invalid_grant", "Invalid JWT")
        if self.checks_times and (not now - 3600 < said["iat"] < now + 600 or said["exp"] <= now):
            raise Refused(
                400, "invalid_grant", "Invalid JWT: Token must be a short-lived token in a reasonable timeframe"
            )
        self.scopes.append(said["scope"])


@dataclass
class Aws:
    """STS, ECR and SSO of one account; recomputes Signature Version 4 for every request."""

    keys: dict[str, tuple[str, str]] = field(default_factory=lambda: {"AKIDHOME": (f"{CANARY}-aws-secret", "")})
    external_id: str = ""
    identity: str = f"{CANARY}-web-identity"
    sign_in: str = f"{CANARY}-sso-token"
    ended: frozenset[str] = frozenset()
    endpoint: str = "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    password: str = ECR_PASSWORD
    lifetime: timedelta = timedelta(hours=12)
    asked: list[str] = field(default_factory=list)

    def answer(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Answer:
        target = headers.get("x-amz-target", "")
        service = "ecr" if target else "sts"
        try:
            if b"AssumeRoleWithWebIdentity" in body:
                return self._by_identity(dict(parse_qsl(body.decode())), now)
            access = self._check(headers, body, service, now)
            self.asked.append(f"{service} {access}")
            return self._token(target, now) if target else self._role(dict(parse_qsl(body.decode())), now)
        except Refused as no:
            if service == "ecr":
                content = json.dumps({"__type": ECR_CODES.get(no.code, no.code), "message": no.message})
                return no.status, "application/x-amz-json-1.1", content.encode()
            xml = f"<Error><Type>Sender</Type><Code>{no.code}</Code><Message>{no.message}</Message></Error>"
            return no.status, "text/xml", f'<ErrorResponse xmlns="{STS}">{xml}</ErrorResponse>'.encode()

    def _check(self, headers: Mapping[str, str], body: bytes, service: str, now: datetime) -> str:
        algorithm, _, rest = headers["authorization"].partition(" ")
        assert algorithm == "AWS4-HMAC-SHA256"
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        access, *scope = parts["Credential"].split("/")
        assert scope[1:] == [REGION, service, "aws4_request"]
        if access not in self.keys:
            raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        secret, session = self.keys[access]
        if headers.get("x-amz-security-token", "") != session:
            raise Refused(403, "InvalidClientTokenId", f"Not the token {headers.get('x-amz-security-token')}")
        if access in self.ended:
            raise Refused(403, "ExpiredToken", "The security token included in the request is expired")
        names = parts["SignedHeaders"].split(";")
        wanted = {"host", "x-amz-date", "content-type"}
        wanted |= {one for one in ("x-amz-security-token", "x-amz-target") if one in headers}
        assert wanted <= set(names)
        assert names == sorted(names)
        canonical = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
        request = f"POST\n/\n\n{canonical}\n{parts['SignedHeaders']}\n{hashlib.sha256(body).hexdigest()}"
        stamp = headers["x-amz-date"]
        assert stamp.startswith(scope[0])
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{secret}".encode()
        for part in scope:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != parts["Signature"]:
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(now - sent) > SKEW:
            raise Refused(403, "SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than {now:%H%M}")
        return access

    def _token(self, target: str, now: datetime) -> Answer:
        assert target == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
        data = {
            "authorizationToken": base64.b64encode(f"AWS:{self.password}".encode()).decode(),
            "expiresAt": (now + self.lifetime).timestamp(),
            "proxyEndpoint": self.endpoint,
        }
        return 200, "application/x-amz-json-1.1", json.dumps({"authorizationData": [data]}).encode()

    def portal(self, query: Mapping[str, str], headers: Mapping[str, str], now: datetime) -> Answer:
        """The SSO portal's GetRoleCredentials."""
        self.asked.append(f"sso {query['account_id']}/{query['role_name']}")
        if headers["x-amz-sso_bearer_token"] != self.sign_in:
            said = {
                "__type": "UnauthorizedException",
                "message": f"Session {headers['x-amz-sso_bearer_token']} invalid",
            }
            return 401, "application/json", json.dumps(said).encode()
        self.keys["ASIASSO"] = (f"{CANARY}-sso-secret", f"{CANARY}-sso-session")
        names = ("accessKeyId", "secretAccessKey", "sessionToken", "expiration")
        values = ("ASIASSO", *self.keys["ASIASSO"], int((now + timedelta(hours=1)).timestamp() * 1000))
        content = {"roleCredentials": dict(zip(names, values, strict=True))}
        return 200, "application/json", json.dumps(content).encode()

    def _by_identity(self, form: Mapping[str, str], now: datetime) -> Answer:
        self.asked.append("sts web identity")
        if form["WebIdentityToken"] != self.identity:
            raise Refused(400, "InvalidIdentityToken", f"No provider for {form['WebIdentityToken']}")
        return self._role({**form, "Action": "AssumeRole"}, now, kind="AssumeRoleWithWebIdentity")

    def _role(self, form: Mapping[str, str], now: datetime, *, kind: str = "AssumeRole") -> Answer:
        assert (form["Action"], form["Version"]) == ("AssumeRole", "2011-06-15")
        assert form["RoleSessionName"]
        if form["RoleArn"] != ROLE or form.get("ExternalId", "") != self.external_id:
            raise Refused(403, "AccessDenied", f"not authorized to perform: sts:AssumeRole on {form['RoleArn']}")
        self.keys["ASIAROLE"] = (f"{CANARY}-role-secret", f"{CANARY}-role-session==")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        values = ("ASIAROLE", *self.keys["ASIAROLE"], (now + timedelta(hours=1)).isoformat())
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

    def metadata(self, url: str, tenant: str) -> Mapping[str, Any]:
        """OpenID Connect Discovery 1.0."""
        place = f"{url}/{tenant}/oauth2/v2.0"
        return {
            "issuer": f"{url}/{tenant}/v2.0",
            "authorization_endpoint": f"{place}/authorize",
            "token_endpoint": f"{place}/token",
        }

    def directory(self, tenant: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        if tenant != self.tenant:
            raise Refused(400, "unauthorized_client", f"AADSTS700016: not found in the directory '{tenant}'.")
        given = form.get("client_secret") or form["client_assertion"]
        if form["client_id"] != self.client or given not in (self.secret, self.assertion):
            raise Refused(401, "invalid_client", f"AADSTS7000215: Invalid client secret {given}.\r\nTrace")
        assert form["grant_type"] == "client_credentials"
        assert "https://containerregistry.azure.net/.default" in form["scope"].split()
        return {"token_type": "Bearer", "expires_in": 3599, "access_token": self.access}

    def exchange(self, host: str, form: Mapping[str, str]) -> Answer:
        right = {"grant_type": "access_token", "service": host, "tenant": self.tenant, "access_token": self.access}
        if dict(form) != right:
            errors = [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": form["access_token"]}]
            return 401, "application/json", json.dumps({"errors": errors}).encode()
        return 200, "application/json", json.dumps({"refresh_token": self.token}).encode()


class Services(ThreadingHTTPServer):
    """All of them on one port of this machine; `failures` answers are 503 before a good one, `now` is their clock.

    A second port speaks TLS, which Azure's library wants of a directory.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.google, self.aws, self.azure = Google(), Aws(), Azure()
        self.failures = 0
        self.requests = 0
        self.body: bytes | None = None
        self.ahead = timedelta(0)
        self.authority = ""
        self.redirect = ""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if path.endswith("openid-configuration"):
            return _json(self.azure.metadata(self.authority, path.split("/")[1]))
        self.requests += 1
        if self.failures:
            self.failures -= 1
            return 503, "text/plain", b"down for a canary"
        if self.redirect:
            return 302, self.redirect, b""
        if self.body is not None:
            return 200, "application/json", self.body
        if path == "/":
            return self.aws.answer(headers, body, self.now)
        if path.startswith("/federation/credentials?"):
            return self.aws.portal(dict(parse_qsl(path.partition("?")[2])), headers, self.now)
        if path == "/oauth2/exchange":
            return self.azure.exchange(headers["host"], dict(parse_qsl(body.decode())))
        try:
            return _json(self._content(path, headers, body))
        except Refused as no:
            said = {"error": no.code, "error_description": no.message}
            return no.status, "application/json", json.dumps(said).encode()

    def _content(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        if path.startswith("/impersonate/"):
            return self.google.impersonate(headers, body, self.now)
        form = dict(parse_qsl(body.decode()))
        if path == "/token":
            return self.google.answer(form, self.now)
        return self.azure.directory(path.split("/")[1], form)


def _json(content: Mapping[str, Any]) -> Answer:
    return 200, "application/json", json.dumps(content).encode()


class _Secure(ThreadingHTTPServer):
    """The same services with TLS; `certificate` is its own authority."""

    daemon_threads = True

    def __init__(self, services: Services, host: str, address: str) -> None:
        super().__init__((address, 0), _Handler)
        self.answer = services.answer
        self._services = services
        key, self.certificate = _certificate(host)
        services.authority = f"https://{host}:{self.server_address[1]}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "served.pem"
            file.write_bytes(key + self.certificate)
            context.load_cert_chain(file)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def now(self) -> datetime:
        return self._services.now


def _certificate(host: str) -> tuple[bytes, bytes]:
    """A key and its certificate for a name or an address, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token services of tests")])
    try:
        held: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        held = x509.DNSName(host)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=7))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([held]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), made.public_bytes(Encoding.PEM)


class _Handler(http_server.Handler):
    server: Services | _Secure

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.now, usegmt=True)

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, kind, content = self.server.answer(self.path, headers, body)
        self.send_response(status)
        self.send_header("Location" if status == 302 else "Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(authority: Path, host: str = "login.example.test", address: str = "127.0.0.1") -> Iterator[Services]:
    """The services for the length of the block; `authority` is the file to trust where they speak TLS, as `host`."""
    services = Services()
    with http_server.serving(services), http_server.serving(_Secure(services, host, address)) as secure:
        authority.write_bytes(secure.certificate)
        yield services


def jwt(expires: datetime, **more: str) -> str:
    """A token that tells when it ends, as ACR's do."""
    claims = json.dumps({"exp": int(expires.timestamp()), **more}).encode()
    return f"{CANARY}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{CANARY}"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
