"""What compose copies into running containers is copied by `sandbox dev` too."""

from __future__ import annotations

from pathlib import Path

import yaml

from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.init.detected import App
from tests.support.project_folder import load

WATCHED = """\
services:
  web:
    build: ./web
    develop:
      watch:
      - {action: sync, path: ./web/src, target: /app/src}
      - {action: sync, path: web/static, target: /app/static/, ignore: [node_modules/]}
      - {action: sync+restart, path: ./web/app.conf, target: /etc/app.conf}
      - {action: sync+exec, path: ./web/nginx.conf, target: /etc/nginx.conf, exec: {command: nginx -s reload, user: a}}
      - {action: rebuild, path: ./web/package.json}
      - {action: sync, path: ./elsewhere, target: /x}
      - {action: sync, path: ./web/absent, target: /x}
      - {action: sync, path: ./web/src, target: relative}
      - {action: sync+exec, path: ./web/src, target: /y}
      - {action: other, path: ./web/src, target: /z}
      - nonsense
"""


def app_of(folder: Path, text: str, **more: str) -> App:
    for name in ("web/src/a.py", "web/static/a.css", "web/app.conf", "web/nginx.conf", "web/Dockerfile", "elsewhere/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    for name, content in {"compose.yaml": text, **more}.items():
        (folder / name).write_text(content)
    return load(folder / "compose.yaml")[0][0]


def test_watched_paths_are_rules_that_images_yaml_takes(tmp_path: Path) -> None:
    app = app_of(tmp_path, WATCHED)
    assert app.build["sync"] == [
        {"paths": {"src": "/app/src", "static": "/app/static"}},
        {"paths": {"app.conf": "/etc/app.conf"}, "restart": True},
        {"paths": {"nginx.conf": "/etc/nginx.conf"}, "run": ["nginx", "-s", "reload"]},
    ]
    image = {"from": "build", "context": "web", "as": "web:dev", "sync": app.build["sync"]}
    (tmp_path / "images.yaml").write_text(yaml.safe_dump({"images": [image]}))
    (entry,) = images_yaml.load(tmp_path / "images.yaml")
    assert isinstance(entry, FromBuild)
    assert [rule.restart for rule in entry.sync] == [False, True, False]


def test_watched_path_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    assert app_of(tmp_path, WATCHED).left_out == (
        "develop.watch.",
        "develop.watch.elsewhere",
        "develop.watch.web/absent",
        "develop.watch.web/nginx.conf.exec.user",
        "develop.watch.web/src",
        "develop.watch.web/src",
        "develop.watch.web/src",
        "develop.watch.web/static.ignore",
    )


def test_watched_path_of_an_included_file_is_found_from_there(tmp_path: Path) -> None:
    included = WATCHED.replace("./web", ".").replace("path: web/static", "path: static")
    app = app_of(tmp_path, "include: [web/compose.yaml]\n", **{"web/compose.yaml": included})
    assert app.build["sync"][0] == {"paths": {"src": "/app/src", "static": "/app/static"}}


def test_watch_of_another_form_is_passed_over(tmp_path: Path) -> None:
    for develop in ("develop: x", "develop: {watch: 5}", "develop: {watch: [{exec: x}]}"):
        app = app_of(tmp_path, f"services: {{web: {{build: ./web, {develop}}}}}\n")
        assert "sync" not in app.build


def test_watched_path_goes_before_the_same_one_mounted(tmp_path: Path) -> None:
    """The first rule that fits counts: a mount's would take the restart away."""
    app = app_of(
        tmp_path,
        """\
services:
  web:
    build: ./web
    volumes: ["./web:/app", "./web/static:/static"]
    develop: {watch: [{action: sync+restart, path: ./web, target: /app}]}
""",
    )
    assert app.build["sync"] == [{"paths": {".": "/app"}, "restart": True}, {"paths": {"static": "/static"}}]
