"""What a spec says about accounts, which account a pull on this machine is made with, and which service is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.credentials.registry_accounts import keychain, may_know, mint, shared_keychain
from sandbox.components.credentials.registry_login import Login
from sandbox.config import loader
from sandbox.config.resolve import load
from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Acr, Credentials, Docker, Ecr, Gcr
from sandbox.errors import UsageError
from sandbox.oci.credential import Credential
from tests.support.programs import make_program
from tests.support.token_services import GOOGLE_TOKEN, Services
from tests.unit.components.credentials.conftest import Write, docker_config, refusal


def parse(text: str) -> Spec:
    return loader.validated(loader.read(text, origin="sandbox.yaml"), Spec, origin="sandbox.yaml", text=text)


def test_files_are_found_from_the_specs_folder_or_the_users(tmp_path: Path, isolated_home: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("credentials: [{kind: gcr, file: key.json}, {kind: docker}, {kind: ecr, file: ~/.aws/credentials}]")
    files = [tmp_path / "key.json", None, isolated_home / ".aws" / "credentials"]
    assert [entry.file for entry in load(file).credentials] == files


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{kind: dockr}", "credentials[0].kind: must be one of 'docker', 'gcr', 'ecr', 'acr', not 'dockr'"),
        ("{file: a}", "credentials[0]: missing key 'kind'"),
        ("{kind: acr}", "missing key 'registry' in credentials[0]"),
        ("{kind: ecr, accounts: ['1']}", "credentials[0].accounts[0]: must be an AWS account of 12 digits"),
        ("{kind: gcr, password: canary}", "unknown key 'password' in credentials[0]"),
        ("{kind: gcr, namespaces: A}", "credentials[0].namespaces: must be 'all'"),
    ],
)
def test_senseless_record_is_refused_at_its_place(entry: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"credentials: [{entry}]")
    assert message in caught.value.brief


@pytest.mark.security(11)
def test_azure_token_is_for_azure_alone() -> None:
    """`acr` with a registry of another host → refused: a principal's token would go to that host."""
    for host in ("evil.example", "azurecr.io.evil.example", "azurecr.io", "demo.azurecr.io.:1"):
        with pytest.raises(UsageError):
            parse(f"credentials: [{{kind: acr, registry: '{host}'}}]")
    for host in ("demo.azurecr.io", "demo.azurecr.cn", "demo.azurecr.us", "demo.azurecr.io:443"):
        assert parse(f"credentials: [{{kind: acr, registry: '{host}'}}]").credentials


def test_two_accounts_with_the_same_secret_name_are_refused() -> None:
    with pytest.raises(UsageError, match="the Secret 'gcr-secret' is given twice"):
        parse("credentials: [{kind: gcr}, {kind: gcr, file: a.json}]")
    assert len(parse("credentials: [{kind: gcr}, {kind: gcr, file: a.json, secret: b}]").credentials) == 2


def test_a_service_is_asked_once_and_for_its_own_hosts_only(services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    chain = keychain([entry], {})
    assert chain.find("docker.io") is None
    assert services.google.requests == 0
    found = [chain.find("eu.gcr.io"), chain.find("us-docker.pkg.dev")]
    assert found == [Credential("oauth2accesstoken", GOOGLE_TOKEN)] * 2
    assert services.google.requests == 1


def test_the_spec_comes_before_docker_login(write: Write, tmp_path: Path) -> None:
    write(docker_config("canary-login"), "config.json")
    entry = Docker(kind="docker", file=write(docker_config("canary-spec"), "other.json"))
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert keychain([entry], environ).find("quay.io") == Credential("me", "canary-spec")
    assert keychain([], environ).find("quay.io") == Credential("me", "canary-login")
    elsewhere = Docker(kind="docker", file=tmp_path / "other.json", registries=("ghcr.io",))
    assert keychain([elsewhere], environ).find("quay.io") == Credential("me", "canary-login")


@pytest.mark.security(20)
def test_only_accounts_for_all_pods_are_given_to_mirrors(write: Write, tmp_path: Path) -> None:
    """A mirror asks for an account → it gets one of an entry for all namespaces, none of `docker login`."""
    write(docker_config("canary-login"), "config.json")
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    entry = Docker(kind="docker", file=write(docker_config("canary-spec"), "other.json"), registries=("quay.io",))
    assert shared_keychain([], environ).find("quay.io") is None
    assert shared_keychain([entry.model_copy(update={"namespaces": ("shop",)})], environ).find("quay.io") is None
    assert shared_keychain([entry], environ).find("quay.io") == Credential("me", "canary-spec")
    assert shared_keychain([entry], environ).find("ghcr.io") is None


@pytest.mark.parametrize(
    ("entry", "host", "known"),
    [
        (Docker(kind="docker"), "quay.io", True),
        (Docker(kind="docker", registries=("ghcr.io",)), "quay.io", False),
        (Docker(kind="docker", registries=("registry-1.docker.io",)), "docker.io", True),
        (Docker(kind="docker", registries=("ghcr.io:443",)), "ghcr.io", True),
        (Gcr(kind="gcr"), "gcr.io", True),
        (Gcr(kind="gcr", registries=("eu.gcr.io",)), "gcr.io", False),
        (Ecr(kind="ecr"), "123456789012.dkr.ecr.eu-central-1.amazonaws.com", True),
        (Ecr(kind="ecr"), "123456789012.dkr-ecr.eu-central-1.on.aws", True),
        (Ecr(kind="ecr", accounts=("111111111111",)), "123456789012.dkr.ecr.eu-central-1.amazonaws.com", False),
        (Ecr(kind="ecr"), "public.ecr.aws", False),
        (Acr(kind="acr", registry="a.azurecr.io"), "a.azurecr.io", True),
        (Acr(kind="acr", registry="a.azurecr.io"), "b.azurecr.io", False),
    ],
)
def test_an_entry_knows_the_hosts_of_its_kind(entry: Credentials, host: str, known: bool) -> None:
    assert may_know(entry, host) is known


def ask(file: Path, *registries: str) -> Login:
    return mint(Docker(kind="docker", file=file, registries=registries), {}, now=datetime.now(UTC))


def test_all_accounts_of_the_file_are_meant_and_do_not_end(write: Write) -> None:
    auths = docker_config("canary-hub", "https://index.docker.io/v1/")["auths"]
    auths |= docker_config("canary:quay", user="you")["auths"]
    login = ask(write({"auths": auths}))
    assert login.accounts == {
        "docker.io": Credential("me", "canary-hub"),
        "quay.io": Credential("you", "canary:quay"),
    }
    assert login.expires is None


def test_helpers_are_asked_here(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = {"ServerURL": "helped.example.com", "Username": "hal", "Secret": "canary-helper"}
    script = f"read -r server; [ $server = helped.example.com ] && echo '{json.dumps(account)}'"
    make_program(tmp_path / "docker-credential-test", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for content in (
        {"auths": {"helped.example.com": {}}, "credsStore": "test"},
        {"credHelpers": {"helped.example.com": "test"}},
    ):
        assert ask(write(content)).accounts == {"helped.example.com": Credential("hal", "canary-helper")}


def test_a_token_is_a_password_for_azure_alone(write: Write) -> None:
    user = "00000000-0000-0000-0000-000000000000"
    content = docker_config("", "demo.azurecr.io", user)
    content["auths"]["demo.azurecr.io"]["identitytoken"] = "canary-identity"
    assert ask(write(content)).accounts == {"demo.azurecr.io": Credential(user, "canary-identity")}
    file = write({"auths": {"ghcr.io": {"identitytoken": "canary-identity"}}})
    error = refusal(lambda: ask(file))
    assert error.brief == "the account at ghcr.io is a token that pods cannot pull with"
    assert error.fix.endswith("docker login ghcr.io")


ENTRIES: Mapping[str, Callable[[Path], Credentials]] = {
    "docker": lambda file: Docker(kind="docker", file=file),
    "docker at one registry": lambda file: Docker(kind="docker", file=file, registries=("quay.io",)),
    "gcr": lambda file: Gcr(kind="gcr", file=file),
    "ecr": lambda file: Ecr(kind="ecr", file=file, region="eu-central-1"),
    "acr": lambda file: Acr(kind="acr", file=file, registry="demo.azurecr.io"),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("kind", "said"), [("fifo", "it is not a regular file"), ("absent", "o such file")])
def test_key_file_that_is_none_is_refused_at_once(tmp_path: Path, entry: str, kind: str, said: str) -> None:
    """A FIFO that no one writes to, nothing → an error that names the file."""
    path = tmp_path / "keys"
    if kind == "fifo":
        os.mkfifo(path)
    error = refusal(lambda: mint(ENTRIES[entry](path), {}, now=datetime.now(UTC)))
    assert error.brief.startswith(f"{path} ") and said in error.details and error.fix


@pytest.mark.parametrize(
    ("entry", "package", "brief"),
    [
        (Ecr(kind="ecr", region="eu-central-1"), "botocore", "AWS's library is not installed"),
        (Gcr(kind="gcr"), "google.auth", "Google's library is not installed"),
        (Acr(kind="acr", registry="a.azurecr.io"), "azure.identity", "Microsoft's library is not installed"),
    ],
)
def test_absent_library_is_named_with_its_command(
    entry: Credentials, package: str, brief: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(write({"type": "service_account"}))}
    error = refusal(lambda: mint(entry, environ, now=datetime.now(UTC)))
    assert error.brief == brief
    assert f"credentials of kind {entry.kind} need" in error.details
    assert error.fix == f"{sys.executable} -m pip install 'kube-sandbox[{entry.kind}]'"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "pipx_metadata.json").write_text("{}")
    error = refusal(lambda: mint(entry, environ, now=datetime.now(UTC)))
    assert error.fix == f"pipx runpip kube-sandbox install 'kube-sandbox[{entry.kind}]'"
    assert error.id == "credentials"


def test_no_library_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys\n"
        "import sandbox.components.credentials.registry_accounts, sandbox.components.credentials.renewal_daemon\n"
        "print([name for name in ('botocore', 'google.auth', 'azure.core', 'msal') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
