"""A project under another name than its spec's: hosts of manifests and charts are served below its own domain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.real import machine
from tests.real.application import Application
from tests.real.served import Sandbox

pytestmark = [pytest.mark.real, pytest.mark.nightly]

BASE, NAME = "test-hosts", "test-hosts-fix"
INGRESS = f"""\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: nginx
  rules:
  - host: web.{BASE}.sandbox.localhost
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{name: http}}}}}}}}]}}
"""
SETTINGS = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{url: 'https://app.{BASE}.sandbox.localhost/'}}
"""


def test_hosts_follow_the_domain_and_settings_only_when_asked_to(tmp_path: Path) -> None:
    """`up NAME` with a spec for another name → Ingresses of files and charts move, a ConfigMap if told to."""
    machine.engine()
    project = Application.free(BASE, tmp_path)
    app, applied = replace(project, name=NAME), ["k8s/", {"chart": "web"}]
    project.write(apply=applied)
    (tmp_path / "k8s" / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "web" / "templates").mkdir(parents=True)
    (tmp_path / "web" / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (tmp_path / "web" / "templates" / "web.yaml").write_text(INGRESS)
    moved = f"app.{BASE}.sandbox.localhost becomes app.{NAME}.sandbox.localhost"

    def settings() -> str:
        return app.kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.url}")

    try:
        told = app.command("up", NAME, "--plan").err
        assert f"Ingress default/app: {moved}" in told
        assert f"Ingress web: web.{BASE}.sandbox.localhost becomes web.{NAME}.sandbox.localhost" in told
        assert f"ConfigMap settings: app.{BASE}.sandbox.localhost stays" in told
        app.command("up", NAME)
        assert app.page() == "first"
        assert Sandbox(app.names, app.ports[0]).status(f"web.{NAME}.sandbox.localhost") == "200"
        assert settings() == f"https://app.{BASE}.sandbox.localhost/"
        assert app.command("up", NAME, "--plan").out == ""
        assert f"Ingress default/app: {moved}" in app.command("export", "exported", "-n", NAME).err
        project.write(apply=applied, rewrite_settings=True)
        app.command("up", NAME)
        assert settings() == f"https://app.{NAME}.sandbox.localhost/"
    finally:
        app.command("down", NAME, "--purge", status=None)
