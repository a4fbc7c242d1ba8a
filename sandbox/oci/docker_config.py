"""The accounts of `docker login`: Docker's config.json and the helpers it names, read by Docker's library.

Nothing that a helper prints is repeated, because it may be the secret.
"""

import re
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

from docker.auth import AuthConfig
from docker.errors import DockerException

from sandbox.config import json_text
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.system import files

FIX = "sign in again with docker login, or correct auths, credsStore and credHelpers in Docker's config.json"
HUB_KEY = "https://index.docker.io/v1/"
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
# The library would also run a program in a folder below the current one.
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")


class DockerConfig:
    """A Keychain over the config.json at `path`, which may be missing; it is read at the first question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._config: Any = None

    def find(self, host: str) -> Credential | None:
        name = canonical(host)
        with self._lock:
            if self._config is None:
                self._config = _load(self._path)
            helper = self._config.get_credential_store(name)
            program = f"docker-credential-{helper}"
            brief = f"{program} gives no credentials for {name}"
            if helper and not _HELPER.fullmatch(helper):
                raise CredentialsUnusable(brief, details=f"{helper!r} is not a program's name", fix=FIX)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a helper that is not installed is an error here
                    account = self._config.resolve_authconfig(name) or {}
            except (DockerException, ValueError, KeyError, TypeError):  # whose texts contain the helper's output
                details = "it failed" if shutil.which(program) else f"{program} is not installed"
                raise CredentialsUnusable(brief, details=details, fix=FIX) from None
        lower = {key.lower(): value for key, value in account.items()}
        credential = Credential(lower.get("username", ""), lower.get("password", ""), lower.get("identitytoken", ""))
        return credential if credential.username or credential.secrets else None


def canonical(key: str) -> str:
    """Return the `host[:port]` a key of `auths` stands for; old Docker wrote URLs, and Docker Hub has several names."""
    host = (key.partition("://")[2] or key).partition("/")[0].lower()
    name, _, port = host.rpartition(":")
    if port in ("443", "80") and name:
        host = name
    return "docker.io" if host in _HUB else host


def _load(path: Path) -> Any:
    try:
        content = json_text.document(files.read_regular(path) or b"{}")
        sections = {key: content[key] for key in ("auths", "credHelpers", "credsStore") if content.get(key)}
        return AuthConfig.load_config(None, sections) if sections else AuthConfig({})
    except FileNotFoundError:
        return AuthConfig({})
    except (files.NotAFile, OSError) as error:
        reason = files.trouble(error)
    except (DockerException, ValueError, AttributeError, TypeError):  # whose texts contain the file's
        reason = "it is not JSON of Docker's form"
    raise CredentialsUnusable(f"{path} cannot be read", details=reason, fix=FIX)
