"""The settings of minikube's addon registry-creds: accounts of four clouds at once, for it forgets those left out.

minikube: cmd/minikube/cmd/config/configure_registry_creds.go.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from sandbox.components.credentials import aws, azure, gcp, registry_accounts, registry_login
from sandbox.config.schema.credentials_schema import Acr, Credentials, Docker, Ecr, Gcr
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.oci.credential import Credential

ADDON = "registry-creds"
NAMESPACE = "kube-system"
UNSET = "changeme"
GCP_FILE = "application_default_credentials.json"

# For each cloud: the switch and the part of the settings, and key of the Secret -> key of the settings.
_PARTS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "ecr": (
        "enableAWSEcr",
        "awsEcrConfigs",
        {
            "AWS_ACCESS_KEY_ID": "awsAccessID",
            "AWS_SECRET_ACCESS_KEY": "awsAccessKey",
            "AWS_SESSION_TOKEN": "awsSessionToken",
            "aws-region": "awsRegion",
            "aws-account": "awsAccount",
            "aws-assume-role": "awsRole",
        },
    ),
    "gcr": ("enableGCR", "gcrConfigs", {GCP_FILE: "gcrPath", "gcrurl": "gcrURL"}),
    "dpr": (
        "enableDockerRegistry",
        "dockerConfigs",
        {
            "DOCKER_PRIVATE_REGISTRY_SERVER": "dockerServer",
            "DOCKER_PRIVATE_REGISTRY_USER": "dockerUser",
            "DOCKER_PRIVATE_REGISTRY_PASSWORD": "dockerPass",
        },
    ),
    "acr": (
        "enableACR",
        "acrConfigs",
        {"ACR_URL": "acrURL", "ACR_CLIENT_ID": "acrClientID", "ACR_PASSWORD": "acrPassword"},
    ),
}
CLOUDS = tuple(_PARTS)

Values = Mapping[str, str]
"""Key -> value, as in one of the addon's Secrets."""


def secret(cloud: str) -> str:
    """Return the name of the Secret that holds a cloud's account."""
    return f"{ADDON}-{cloud}"


def wanted(entries: Iterable[Credentials], environ: Mapping[str, str], *, now: datetime) -> dict[str, Values]:
    """Return the content of each cloud's Secret. Raises CredentialsUnusable, and UsageError for what it cannot hold."""
    found: dict[str, Values] = {}
    for entry in entries:
        cloud, values = _values(entry, environ, now)
        if cloud in found:
            raise UsageError(f"{ADDON} takes one account of kind '{entry.kind}'", fix="leave the others out")
        found[cloud] = values
    return found


def settings(values: Mapping[str, Values], gcp_file: Path) -> dict[str, object]:
    """Return the addon's configuration; the account of Google is read from `gcp_file`."""
    parts: dict[str, object] = {}
    for cloud, (switch, part, keys) in _PARTS.items():
        parts[switch] = "enable" if cloud in values else "disable"
        known = {keys[key]: value for key, value in values.get(cloud, {}).items() if key in keys}
        parts[part] = known | ({"gcrPath": str(gcp_file)} if "gcrPath" in known else {})
    return {"addons": {ADDON: parts}}


def held(cluster: Cluster) -> dict[str, Values]:
    """Return the present content of each cloud's Secret. Raises ClusterError."""
    found: dict[str, Values] = {}
    for cloud in CLOUDS:
        data = (cluster.get("v1", "Secret", secret(cloud), NAMESPACE) or {}).get("data") or {}
        found[cloud] = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
    return found


def is_set(values: Values) -> bool:
    """Tell whether a Secret of the addon's contains an account."""
    return UNSET not in {value for key, value in values.items() if key != "aws-assume-role"}


def _values(entry: Credentials, environ: Mapping[str, str], now: datetime) -> tuple[str, Values]:
    match entry:
        case Docker():
            host, account = _only_account(entry, environ, now)
            return "dpr", {
                "DOCKER_PRIVATE_REGISTRY_SERVER": host,
                "DOCKER_PRIVATE_REGISTRY_USER": account.username,
                "DOCKER_PRIVATE_REGISTRY_PASSWORD": account.password,
            }
        case Gcr():
            path = entry.file or gcp.default_file(environ)
            registry_login.read_key_file(path, made_by="gcloud auth application-default login")
            host = entry.registries[0] if entry.registries else "gcr.io"
            return "gcr", {GCP_FILE: path.read_text(encoding="utf-8"), "gcrurl": f"https://{host}"}
        case Ecr():
            if not entry.accounts:
                raise UsageError(f"{ADDON} has to be told the AWS account", fix="write `accounts:` next to `kind: ecr`")
            found = aws.long_lived(entry, environ)
            return "ecr", {
                "AWS_ACCESS_KEY_ID": found.keys.access,
                "AWS_SECRET_ACCESS_KEY": found.keys.secret,
                "AWS_SESSION_TOKEN": found.keys.session,
                "aws-region": found.region,
                "aws-account": ",".join(entry.accounts),
                "aws-assume-role": found.role,
            }
        case Acr():
            principal = azure.principal(entry, environ)
            return "acr", {
                "ACR_URL": entry.registry,
                "ACR_CLIENT_ID": principal.client,
                "ACR_PASSWORD": principal.secret,
            }


def _only_account(entry: Docker, environ: Mapping[str, str], now: datetime) -> tuple[str, Credential]:
    """Return the registry and its account. Raises UsageError where there is not exactly one."""
    accounts = registry_accounts.docker_login(entry, environ, now=now).accounts
    if len(accounts) != 1:
        raise UsageError(
            f"{ADDON} takes one docker registry, and there are {', '.join(accounts)}",
            fix="name one: registries: [HOST]",
        )
    return next(iter(accounts.items()))
