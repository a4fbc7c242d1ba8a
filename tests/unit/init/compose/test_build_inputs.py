"""What a compose service's build needs is in images.yaml, or named."""

from __future__ import annotations

from pathlib import Path

import yaml

from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.init.detected import App
from tests.support.project_folder import load


def app_of(folder: Path, build: str, secrets: str = "{}") -> App:
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "npmrc").write_text("token\n")
    (folder / "compose.yaml").write_text(f"services: {{web: {{build: {build}}}}}\nsecrets: {secrets}\n")
    return load(folder / "compose.yaml")[0][0]


def test_secrets_and_agents_of_a_build_are_options_of_it(tmp_path: Path) -> None:
    secrets = "{npm: {file: ./npmrc}, token: {environment: TOKEN}}"
    build = "{context: ., secrets: [npm, {source: token, target: github}], ssh: [default], cache_from: [a]}"
    app = app_of(tmp_path, build, secrets)
    assert app.build == {"secrets": ["id=npm,src=./npmrc", "id=github,env=TOKEN"], "ssh": ["default"]}
    assert app.left_out == ()
    image = {"from": "build", "context": ".", "as": "web:dev", **app.build}
    (tmp_path / "images.yaml").write_text(yaml.safe_dump({"images": [image]}))
    (entry,) = images_yaml.load(tmp_path / "images.yaml")
    assert isinstance(entry, FromBuild) and entry.secrets == tuple(app.build["secrets"])


def test_build_option_without_a_counterpart_is_named(tmp_path: Path) -> None:
    """Without these the build fails, or makes something else, and nothing would say why."""
    secrets = "{home: {file: /etc/hostname}, out: {external: true}, odd: {environment: 'a,b'}}"
    more = "additional_contexts: {lib: ../lib}, network: host, extra_hosts: [a:1.2.3.4], ssh: {default: x}"
    app = app_of(tmp_path, f"{{context: ., secrets: [home, out, odd, none], {more}}}", secrets)
    assert app.build == {}
    assert app.left_out == (
        "build.additional_contexts",
        "build.extra_hosts",
        "build.network",
        "build.secrets.home",
        "build.secrets.none",
        "build.secrets.odd",
        "build.secrets.out",
        "build.ssh",
    )


def test_argument_that_is_only_named_has_its_value_of_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    app = app_of(tmp_path, "{context: ., args: [A, B, 'C=', 'D=$E']}")
    assert app.build == {"args": {"A": "1", "C": ""}}
    assert app.left_out == ("build.args.B", "build.args.D")
    assert app_of(tmp_path, "{context: ., args: {A: , C: '', D: true}}").build == {
        "args": {"A": "1", "C": "", "D": "true"}
    }
