"""Secrets and configs of a compose file become Secrets and ConfigMaps, mounted where compose mounts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sandbox.init.detected import App
from sandbox.init.kubernetes_objects import manifest
from tests.support.project_folder import load

COMPOSE = """
services:
  db:
    image: postgres:16
    secrets: [db_password, {source: token, target: api/token}, {source: key, target: /etc/key.pem}, abroad, absent]
    configs: [motd, {source: web.conf, target: /etc/web/web.conf}, unset, undefined]
  api:
    image: example/api:1
    secrets: [db_password]
secrets:
  db_password: {file: secrets/db.txt}
  token: {environment: TOKEN}
  key: {environment: KEY}
  abroad: {external: true}
  absent: {file: secrets/absent.txt}
configs:
  motd: {content: "hello ${WHO}, $$5"}
  web.conf: {file: ./web.conf}
  unset: {content: "$NOT_SET"}
"""


def written(folder: Path) -> tuple[list[App], list[str], dict[tuple[str, str], Any]]:
    apps, notes = load(folder / "compose.yaml")
    texts = [manifest(app, image=str(app.image), host=None) for app in apps]
    objects = [one for text in texts for one in yaml.safe_load_all(text)]
    assert len(objects) == len({(one["kind"], one["metadata"]["name"]) for one in objects})
    return apps, notes, {(one["kind"], one["metadata"]["name"]): one for one in objects}


def test_secrets_and_configs_are_mounted_as_compose_does(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / ".env").write_text("TOKEN=t0k\nWHO=you\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/db.txt").write_text("hunter2\n")
    (tmp_path / "web.conf").write_text("listen 80\n")
    apps, notes, objects = written(tmp_path)
    contents = {key: one.get("data") or one.get("stringData") for key, one in objects.items() if "spec" not in one}
    assert contents == {
        ("Secret", "db-password"): {"db-password": "hunter2\n"},
        ("Secret", "token"): {"token": "t0k"},
        ("ConfigMap", "motd"): {"motd": "hello you, $5"},
        ("ConfigMap", "web-conf"): {"web-conf": "listen 80\n"},
    }
    pod = objects["Deployment", "db"]["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounted = {one["mountPath"]: (volumes[one["name"]], one["subPath"]) for one in pod["containers"][0]["volumeMounts"]}
    assert {place: (one.get("secret") or one.get("configMap"), key) for place, (one, key) in mounted.items()} == {
        "/run/secrets/db_password": ({"secretName": "db-password"}, "db-password"),
        "/run/secrets/api/token": ({"secretName": "token"}, "token"),
        "/motd": ({"name": "motd", "defaultMode": 0o755}, "motd"),
        "/etc/web/web.conf": ({"name": "web-conf", "defaultMode": 0o755}, "web-conf"),
    }
    assert apps[0].left_out == (
        "configs.undefined (the file does not define it)",
        "configs.unset (only your shell has its variables)",
        "secrets.abroad (it is external)",
        "secrets.absent (there is no secrets/absent.txt in this folder)",
        "secrets.key (only your shell has KEY)",
    )
    shared = objects["Deployment", "api"]["spec"]["template"]["spec"]["volumes"]
    assert shared == [{"name": "secret-db-password", "secret": {"secretName": "db-password"}}]
    assert "the secrets of compose.yaml are in what is written: keep it out of git" in notes


def test_modes_count_as_compose_takes_them(tmp_path: Path) -> None:
    """Those of content; a file has its own, and so has one with an owner, which Kubernetes does not set."""
    (tmp_path / "compose.yaml").write_text(
        """
services:
  web:
    image: web
    secrets: [{source: key, mode: 0400}, {source: token, mode: 0400}, {source: token, target: "a:b"}]
    configs:
    - {source: run, mode: "0755"}
    - {source: run, target: /run2, mode: 01777}
    - {source: run, target: /run3, uid: "1000", mode: 0440}
secrets:
  key: {file: key}
  token: {content: t}
configs:
  run: {content: "true"}
"""
    )
    (tmp_path / "key").write_text("k")
    (app,), _, objects = written(tmp_path)
    pod = objects["Deployment", "web"]["spec"]["template"]["spec"]
    volumes = {one["name"]: one.get("secret") or one["configMap"] for one in pod["volumes"]}
    modes = {one["mountPath"]: volumes[one["name"]].get("defaultMode") for one in pod["containers"][0]["volumeMounts"]}
    assert modes == {
        **{"/run/secrets/key": None, "/run/secrets/token": 0o400, "/run": 0o755, "/run2": 0o755, "/run3": 0o755}
    }
    assert app.left_out == (
        *("configs.run.mode", "configs.run.mode", "configs.run.uid", "secrets.key.mode"),
        "secrets.token (Kubernetes mounts nothing at a path with a colon)",
    )


def test_secrets_of_included_files_have_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("include: [parts/one.yaml]\n")
    (tmp_path / "parts/deep").mkdir(parents=True)
    (tmp_path / "parts/one.yaml").write_text(
        "include: [deep/two.yaml]\nservices: {web: {image: web, secrets: [inner]}}\n"
    )
    (tmp_path / "parts/deep/two.yaml").write_text(
        "include: [../one.yaml]\nservices: {db: {image: db}}\nsecrets: {inner: {file: inner.txt}}\n"
    )
    (tmp_path / "parts/deep/inner.txt").write_text("deep\n")
    apps, notes, objects = written(tmp_path)
    assert [app.name for app in apps] == ["db", "web"]
    assert objects["Secret", "inner"]["stringData"] == {"inner": "deep\n"}
    assert notes == ["the secrets of compose.yaml are in what is written: keep it out of git"]


def test_secret_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services: {web: {image: web, secrets: [store]}}\nsecrets: {store: {file: store.p12}}\n"
    )
    (tmp_path / "store.p12").write_bytes(b"\xff\xfe\x00")
    apps, _, objects = written(tmp_path)
    assert apps[0].left_out == ("secrets.store (store.p12 is not text, or too long)",)
    assert list(objects) == [("Deployment", "web"), ("Service", "web")]
