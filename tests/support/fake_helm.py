"""A program that stands in for helm: takes templates as they are, and keeps releases in the cluster as helm does."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.programs import make_program

PROGRAM = r"""
import json, os, pathlib, sys

command, *words = sys.argv[1:]


def noted(word):
    option, name, path = (*word.split("=", 2), "", "")[:3]
    return f"{option}={name}@{pathlib.Path(path).read_text()}" if option == "--set-file" else word


with open(os.environ["HELM_ASKED"], "a", encoding="utf-8") as asked:
    asked.write(json.dumps([noted(word) for word in sys.argv[1:]]) + "\n")
end = words.index("--") if "--" in words else len(words)
options = {word.partition("=")[0]: word.partition("=")[2] for word in words[:end] if word.startswith("--")}
plain = [word for word in words[:end] if not word.startswith("--")] + words[end + 1 :]
print("WARNING: Kubernetes configuration file is group-readable.", file=sys.stderr)  # whatever the command
if command == "version":
    print(os.environ.get("HELM_IS", "v3.20.0"))
    sys.exit()


def server():
    text = pathlib.Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8")
    return text.partition("server: http://")[2].split()[0]


def text(chart):
    if os.path.isfile(chart):
        import tarfile
        with tarfile.open(chart) as archive:
            named = sorted(one for one in archive.getnames() if "/templates/" in one)
            return "".join("---\n" + archive.extractfile(one).read().decode() for one in named)
    found = "".join("---\n" + one.read_text() for one in sorted(pathlib.Path(chart, "templates").glob("*.yaml")))
    if "{{ broken" in found:
        sys.exit("Error: parse error at (web/templates/web.yaml:2): unclosed action")
    return found


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    import http.client
    connection = http.client.HTTPConnection(server())
    connection.request(method, path, data, {"Content-Type": "application/apply-patch+yaml"})
    response = connection.getresponse()
    if response.status == 404:
        return None
    if response.status >= 400:
        sys.exit(f"Error: the API server answered {response.status}")
    return json.loads(response.read() or "null")


if command == "repo" and words[0] == "list":
    print(os.environ.get("HELM_REPOSITORIES") or sys.exit("Error: no repositories to show"))
if command == "pull":
    import shutil
    name = plain[0].rpartition("/")[2] + "-" + options["--version"] + ".tgz"
    source = pathlib.Path(os.environ["HELM_REMOTE"], name)
    if not source.exists():
        sys.exit(f"Error: {plain[0]}: not found")
    shutil.copy(source, options["--destination"])
if command == "dependency":
    import shutil
    folder = pathlib.Path(plain[1])
    names = [line.split()[-1] for line in (folder / "Chart.lock").read_text().splitlines() if "name:" in line]
    (folder / "charts").mkdir(exist_ok=True)
    for archive in sorted(pathlib.Path(os.environ["HELM_REMOTE"]).glob("*.tgz")):
        if archive.name.rpartition("-")[0] in names:
            shutil.copy(archive, folder / "charts")
if command == "status":
    found = call("GET", f"/api/v1/namespaces/{options['--namespace']}/secrets/sh.helm.release.v1.{plain[0]}.v1")
    if found is None:
        sys.exit("Error: release: not found")
    import base64, gzip
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(found["data"]["release"]))))
    print(json.dumps(release))
if command == "template":
    print(text(plain[1]))
if command == "upgrade":
    import base64, gzip, subprocess
    (name, chart), namespace = plain, options["--namespace"]
    rendered = text(chart)
    if renderer := options.get("--post-renderer"):
        if os.environ.get("HELM_IS", "").startswith("v4"):
            plugin = json.load(open(os.path.join(os.environ["HELM_PLUGINS"], renderer, "plugin.yaml")))
            renderer = plugin["runtimeConfig"]["platformCommand"][0]["command"]
        rendered = subprocess.run([renderer], input=rendered, text=True, capture_output=True, check=True).stdout
    state = os.environ.get("HELM_ENDS", "deployed")
    info = {"status": state, "first_deployed": os.environ.get("HELM_TIME", "2026-01-01T00:00:00Z")}
    content = {"version": 1, "info": info, "manifest": rendered}
    packed = base64.b64encode(gzip.compress(json.dumps(content).encode()))
    secret = f"sh.helm.release.v1.{name}.v1"
    call("PATCH", f"/api/v1/namespaces/{namespace}/secrets/{secret}", {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": namespace},
        "data": {"release": base64.b64encode(packed).decode()}})
    if state == "failed":
        sys.exit("Error: UPGRADE FAILED: context deadline exceeded")
if command == "uninstall":
    call("DELETE", f"/api/v1/namespaces/{options['--namespace']}/secrets/sh.helm.release.v1.{plain[0]}.v1")
"""


def calls(asked: Path, command: str) -> list[list[str]]:
    """Return the arguments of each call with the command, which is the first of them."""
    lines = asked.read_text().splitlines() if asked.exists() else []
    return [words for words in map(json.loads, lines) if words[0] == command]


def packed(text: str) -> bytes:
    """Return the archive of the chart `web` 1.2.3 with one template."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        files = {"web/Chart.yaml": "name: web\nversion: 1.2.3\n", "web/templates/web.yaml": text}
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it before all of the PATH; return the file in which it notes its calls, with what `--set-file` names."""
    make_program(folder / "helm", f"#!{sys.executable} -SE\n{PROGRAM}")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("HELM_ASKED", str(folder / "asked"))
    return folder / "asked"
