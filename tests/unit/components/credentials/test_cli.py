"""`sandbox credentials` on a cluster's API and a node in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from sandbox.cli.credentials import credentials as command
from sandbox.errors import UsageError
from sandbox.names import Names
from sandbox.system import daemon
from tests.support import in_process
from tests.support.api_server import ApiServer
from tests.support.token_services import CANARY, Services
from tests.unit.components.credentials.conftest import Write, docker_config, refusal

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a spec."""
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(tmp_path)


def run(*words: str | Path) -> Result:
    return in_process.run(command, *(words if "-f" in words else (*words, "-n", "demo")))


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "-o", "json").stdout)["credentials"]
    return found


@pytest.fixture
def config(write: Write) -> Path:
    return write(docker_config("canary-quay"), "config.json")


def test_accounts_are_added_listed_and_removed(server: ApiServer, names: Names, config: Path) -> None:
    before = set(server.objects)
    assert run("list").stderr.startswith("no credentials")
    assert refusal(lambda: run("remove", "no")).fix == "sandbox credentials add"
    added = run("add", "docker", "--from", config, "--namespace", "shop")
    assert added.stdout == "dpr-secret   docker   quay.io   shop   does not expire\n"
    assert run("list").stdout == added.stdout
    assert refusal(lambda: run("refresh", "--secret", "no")).fix == "there are: dpr-secret"
    assert rows() == [
        {
            "secret": "dpr-secret",
            "kind": "docker",
            "registries": ["quay.io"],
            "namespaces": ["shop"],
            "file": str(config),
            "origin": "command",
            "expires": None,
        }
    ]
    assert run("remove", "dpr-secret").stdout == "removed dpr-secret\n"
    assert rows() == []
    assert not names.credentials.exists()
    assert set(server.objects) == before


def test_every_kind_is_given_by_options(
    services: Services, write: Write, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", services.url)
    keys = {"AccessKeyId": "AKIDHOME", "SecretAccessKey": f"{CANARY}-aws-secret"}
    aws = ("--region", "eu-central-1", "--account", "123456789012", "--role", "arn:aws:iam::123456789012:role/puller")
    run("add", "gcr", "--from", write(services.google.key_file(services.url)), "--registry", "eu.gcr.io")
    run("add", "ecr", "--from", write(keys, "aws.json"), *aws)
    principal = write(services.azure.principal(services.authority), "azure.json")
    run("add", "acr", "--from", principal, "--registry", services.host, "--secret", "mine")
    secrets = {row["kind"]: row["secret"] for row in rows()}
    assert secrets == {"ecr": "awsecr-cred", "gcr": "gcr-secret", "acr": "mine"}
    assert daemon.find(names.credentials / "keeper.json")


def test_refresh_reads_the_files_again(services: Services, server: ApiServer, config: Path, write: Write) -> None:
    key = write(services.google.key_file(services.url))
    run("add", "docker", "--from", config)
    run("add", "gcr", "--from", key)
    before = {row["secret"]: row["expires"] for row in rows()}
    assert run("refresh", "--secret", "gcr-secret").stdout.startswith("renewed gcr-secret   gcr")
    after = {row["secret"]: row["expires"] for row in rows()}
    assert after["gcr-secret"] > before["gcr-secret"]
    services.google.refusals = 9
    error = refusal(lambda: run("refresh"))
    assert error.brief == "Google gives no token"
    assert error.exit_code == 1


def test_spec_accounts_are_not_changed_by_commands(config: Path, write: Write) -> None:
    spec = write("name: demo\ncredentials: [{kind: docker, file: config.json}]\n", "sandbox.yaml")
    error = refusal(lambda: run("add", "docker", "-f", spec, "--from", config))
    assert isinstance(error, UsageError)
    assert "--secret" in error.fix
    run("add", "docker", "--from", config)
    assert "sandbox.yaml" in refusal(lambda: run("remove", "dpr-secret", "-f", spec)).brief


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("gcr", "--role", "a"), "gcr takes no --role"),
        (("acr",), "acr needs one --registry"),
        (("ecr", "--account", "1"), "--account must be an AWS account of 12 digits"),
        (("docker", "--namespace", "A"), "--namespace must be"),
        (("docker", "--registry", "http://a"), "--registry must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(words: tuple[str, ...], reason: str) -> None:
    error = refusal(lambda: run("add", *words))
    assert isinstance(error, UsageError)
    assert reason in error.brief
