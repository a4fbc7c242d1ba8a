"""Annotations of Ingresses have the effect that docs/ingress-annotations.md says, asked over HTTPS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context
from sandbox.components.ingress.unserved import PREFIX, known
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "annotations"
DOMAIN = f"{NAME}.sandbox.localhost"
# A server that answers with the request; /status/404 has that status, /slow takes three seconds.
ECHO = r"""
cr=$(printf '\r')
said= length=0
while IFS= read -r line; do
    line=${line%"$cr"}
    [ -n "$line" ] || break
    said="$said$line
"
    case $line in [Cc]ontent-[Ll]ength:*) length=${line#*: } ;; esac
done
[ "$length" = 0 ] || busybox head -c "$length" >/dev/null
path=${said#* } path=${path%% *}
case $path in /slow*) busybox sleep 3 ;; esac
case $path in /status/*) status=${path#/status/} ;; *) status=200 ;; esac
body="pod $NAME
$said"
printf 'HTTP/1.1 %s Said\r\nContent-Length: %s\r\nX-From: %s\r\nConnection: close\r\n\r\n%s' \
    "$status" "${#body}" "$NAME" "$body"
"""
SERVER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: CALLED}
spec:
  selector: {matchLabels: {app: CALLED}}
  template:
    metadata: {labels: {app: CALLED}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: echo
        image: localhost:5001/echo:1
        command: [busybox, nc, -ll, -p, "8080", -e, busybox, sh, /echo/echo.sh]
        env: [{name: NAME, value: CALLED}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: echo, mountPath: /echo}]
      volumes: [{name: echo, configMap: {name: echo}}]
---
apiVersion: v1
kind: Service
metadata: {name: CALLED}
spec: {selector: {app: CALLED}, ports: [{port: 80, targetPort: 8080}]}
"""
SPEC = f"""\
apiVersion: sandbox.dev/v1
name: {NAME}
push: images.yaml
edge: {{ports: auto}}
registry: {{port: auto}}
ingress: {{classes: [alb]}}
apply: [objects]
"""
ON = "on"


@dataclass(frozen=True)
class Case:
    """Annotations without their prefix, a request by curl's arguments, and what its answer has somewhere."""

    name: str
    says: dict[str, str]
    answer: str
    path: str = "/"
    ask: tuple[str, ...] = ()
    at: str = "/"
    path_type: str = "Prefix"
    times: int = 1
    host: str = ""
    scheme: str = "https"
    service: str = "echo"
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def served_at(self) -> str:
        return f"{self.name}.{DOMAIN}"

    def ingress(self) -> dict[str, Any]:
        backend = {"service": {"name": self.service, "port": {"number": 80}}}
        paths = [{"path": self.path, "pathType": self.path_type, "backend": backend}]
        annotations = {f"{PREFIX}/{name}": value for name, value in self.says.items()}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": self.name, "namespace": "default", "annotations": annotations},
            "spec": {"rules": [{"host": self.served_at, "http": {"paths": paths}}], **self.spec},
        }


def snippet(text: str) -> dict[str, str]:
    return {"configuration-snippet": text}


AUTH = {"auth-type": "basic", "auth-secret": "users", "auth-realm": "here"}
CASES = (
    Case("rewrite", {"rewrite-target": "/$2"}, "GET /x HTTP", path="/api(/|$)(.*)", at="/api/x"),
    Case(
        "prefix", {"rewrite-target": "/", "x-forwarded-prefix": "/api"}, "X-Forwarded-Prefix: /api", "/api", at="/api"
    ),
    Case(
        "regex", {"use-regex": "true"}, "GET /v12 HTTP", path="/v[0-9]+", at="/v12", path_type="ImplementationSpecific"
    ),
    Case("root", {"app-root": "/home"}, "HTTP/2 302.*ocation: .*/home"),
    Case("moved", {"permanent-redirect": "https://example.com/new"}, "HTTP/2 301.*ocation: https://example.com/new"),
    Case(
        "moved-code",
        {"permanent-redirect": "https://example.com/new", "permanent-redirect-code": "308"},
        "HTTP/2 308.*ocation: https://example.com/new",
    ),
    Case("away", {"temporal-redirect": "https://example.com/now"}, "HTTP/2 302.*ocation: https://example.com/now"),
    Case("away-code", {"temporal-redirect": "https://example.com/", "temporal-redirect-code": "307"}, "HTTP/2 307"),
    Case("www", {"from-to-www-redirect": "true"}, f"HTTP/2 308.*ocation: https://www.{DOMAIN}", host=DOMAIN),
    Case("alias", {"server-alias": f"other-alias.{DOMAIN}"}, "pod echo", host=f"other-alias.{DOMAIN}"),
    Case("rps", {"limit-rps": "1", "limit-burst-multiplier": "1"}, "HTTP/2 429", times=8),
    Case("rpm", {"limit-rpm": "1", "limit-burst-multiplier": "1"}, "HTTP/2 429", times=4),
    Case("allowed", {"allowlist-source-range": "10.255.255.0/30"}, "HTTP/2 403"),
    Case("whitelisted", {"whitelist-source-range": "10.255.255.0/30"}, "HTTP/2 403"),
    Case(
        "body",
        {"proxy-body-size": "1k", "proxy-request-buffering": ON, "client-body-buffer-size": "1k"},
        "HTTP/2 413",
        ask=("--data", "x" * 5000),
    ),
    Case("anybody", {"proxy-body-size": "1k"}, "HTTP/2 200", ask=("--data", "x" * 5000)),
    Case("headers", snippet('more_set_headers "X-Said: yes";'), "x-said: yes"),
    Case("input", snippet("proxy_set_header X-Asked $request_method;"), "X-Asked: GET"),
    Case("denied", snippet("deny all;"), "HTTP/2 403"),
    Case("teapot", {"server-snippet": 'location /tea { return 418 "tea"; }'}, "HTTP/2 418", at="/tea"),
    Case(
        "cors",
        {
            "enable-cors": "true",
            "cors-allow-origin": "https://a.example",
            "cors-allow-methods": "GET, PATCH",
            "cors-allow-headers": "X-One",
            "cors-max-age": "77",
        },
        "access-control-allow-methods: GET,\\s?PATCH.*access-control-allow-origin: https://a.example.*max-age: 77",
        ask=(
            *("-X", "OPTIONS", "-H", "Origin: https://a.example"),
            *("-H", "Access-Control-Request-Method: PATCH", "-H", "Access-Control-Request-Headers: x-one"),
        ),
    ),
    Case(
        "cors-simple",
        {"enable-cors": "true", "cors-expose-headers": "X-Two", "cors-allow-credentials": "true"},
        "access-control-allow-credentials: true.*access-control-expose-headers: X-Two",
        ask=("-H", "Origin: https://a.example"),
    ),
    Case("login", AUTH, 'HTTP/2 401.*realm="here"'),
    Case("logged-in", AUTH, "HTTP/2 200", ask=("--user", "me:secret")),
    Case(
        "login-map",
        {**AUTH, "auth-secret": "map", "auth-secret-type": "auth-map"},
        "HTTP/2 200",
        ask=("--user", "me:secret"),
    ),
    Case("asked", {"auth-url": "http://echo.default.svc.cluster.local/status/401"}, "HTTP/2 401"),
    Case(
        "asked-fine",
        {"auth-url": "http://echo.default.svc.cluster.local/", "auth-response-headers": "X-From", "auth-method": "GET"},
        "X-From: echo",
    ),
    Case(
        "sign-in",
        {"auth-url": "http://echo.default.svc.cluster.local/status/401", "auth-signin": "https://login.example/in"},
        "HTTP/2 302.*ocation: https://login.example/in",
    ),
    Case("vhost", {"upstream-vhost": "inner.example"}, "Host: inner.example"),
    Case("errors", {"custom-http-errors": "404", "default-backend": "other"}, "pod other", at="/status/404"),
    Case(
        "sticky",
        {
            "affinity": "cookie",
            "session-cookie-name": "held",
            "session-cookie-path": "/p",
            "session-cookie-max-age": "9",
        },
        "set-cookie: held=.*[Pp]ath=/p.*[Mm]ax-[Aa]ge=9",
    ),
    Case(
        "sticky-more",
        {
            "affinity": "cookie",
            "session-cookie-samesite": "Strict",
            "session-cookie-secure": "true",
            "session-cookie-domain": DOMAIN,
        },
        f"set-cookie: INGRESSCOOKIE=.*[Dd]omain={DOMAIN}.*[Ss]ecure.*[Ss]ame[Ss]ite=Strict",
    ),
    Case("slow", {"proxy-read-timeout": "1"}, "HTTP/2 50[24]", at="/slow"),
    Case("patient", {}, "HTTP/2 200", at="/slow"),
    Case("canary", {}, "pod other", ask=("-H", "X-Canary: always")),
    Case("not-canary", {}, "pod echo", host=f"canary.{DOMAIN}"),
    Case(
        "redirect",
        {"ssl-redirect": "false", "force-ssl-redirect": "false"},
        f"HTTP/1.1 30[18].*ocation: https://redirect.{DOMAIN}/",
        scheme="http",
    ),
    Case("foreign", {}, "pod echo", spec={"ingressClassName": "alb"}),
    Case("no-secret", {}, "pod echo", spec={"tls": [{"hosts": [f"no-secret.{DOMAIN}"], "secretName": "not-there"}]}),
    Case("ignored", dict.fromkeys(set(known().ignored) - {"custom-headers"}, "1"), "HTTP/2 200"),
)
CANARY = Case("canary", {"canary": "true", "canary-by-header": "X-Canary", "canary-weight": "0"}, "", service="other")
# A Service without pods, by its own address and by those of its pods: only the first can be connected to. kube-router
# accepts that connection before kube-proxy refuses it, so that Traefik waits for it.
PODLESS = (
    Case("upstream", {"service-upstream": "true"}, "HTTP/2 50[24]", service="podless", ask=("--max-time", "60")),
    Case("pods", {}, "HTTP/2 503", service="podless"),
)
# Tested elsewhere (protocols and passthrough in test_ingress, lost pods in test_nodes), or hard to see from outside.
UNASKED = {
    *("backend-protocol", "ssl-passthrough", "proxy-next-upstream", "proxy-next-upstream-tries"),
    *("proxy-next-upstream-timeout", "proxy-connect-timeout", "proxy-send-timeout", "proxy-http-version"),
    *("proxy-ssl-name", "proxy-ssl-secret", "proxy-ssl-server-name", "proxy-ssl-verify", "upstream-hash-by"),
    *("auth-tls-secret", "auth-tls-verify-client", "auth-tls-pass-certificate-to-upstream", "auth-snippet"),
    *("affinity-mode", "affinity-canary-behavior", "session-cookie-expires", "limit-connections"),
    *("proxy-buffering", "proxy-buffer-size", "proxy-buffers-number", "proxy-max-temp-file-size"),
    *("canary-by-cookie", "canary-by-header-pattern", "canary-by-header-value", "canary-weight-total"),
}


@dataclass(frozen=True)
class Project:
    """The sandbox, up; `said` is what `up` printed."""

    command: CommandLine
    said: str
    port: str

    @property
    def names(self) -> Names:
        return context.home().sandbox(NAME)

    def ask(self, case: Case) -> str:
        host = case.host or case.served_at
        curl = ("curl", "--silent", "--include", "--http2", "--max-time", "20", *case.ask)
        if case.scheme == "http":  # only pods reach the ingress by HTTP, at its Service, as its node does
            service = Cluster(self.names.kubeconfig).get("v1", "Service", "ingress", SYSTEM_NAMESPACE) or {}
            inside = ("--resolve", f"{host}:80:{service['spec']['clusterIP']}")
            return tool("docker", "exec", self.names.node, *curl, *inside, f"http://{host}{case.at}", status=None)
        resolve = ("--resolve", f"{host}:{self.port}:127.0.0.1", "--cacert", str(self.names.root_certificate))
        url = f"https://{host}:{self.port}{case.at}"
        return "\n".join(tool(*curl, *resolve, url, status=None) for _ in range(case.times))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    machine.engine()
    folder = tmp_path_factory.mktemp("project")
    command = CommandLine({"KUBECONFIG": str(folder.parent / "kubeconfig")}, folder)
    _write(folder)
    try:
        validated = command("config", "validate")
        assert "Ingress default/ignored: denylist-source-range has no effect" in validated.err
        said = command("up", timeout=900).out
        port = re.search(rf"https://rewrite\.{re.escape(DOMAIN)}:?(\d*)/", said)
        assert port
        yield Project(command, said, port[1] or "443")
    finally:
        command("down", "--purge", status=None)


def _write(folder: Path) -> None:
    objects = folder / "objects"
    objects.mkdir()
    (folder / "app").mkdir()
    (folder / "app" / "Dockerfile").write_text("FROM sandbox.dev/busybox\n", encoding="utf-8")
    (folder / "images.yaml").write_text("images: [{from: build, context: app, as: 'echo:1'}]\n", encoding="utf-8")
    (folder / "sandbox.yaml").write_text(SPEC, encoding="utf-8")
    script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "echo"}, "data": {"echo.sh": ECHO}}
    hashed = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"  # of `secret`
    users = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "users"},
        "stringData": {"auth": f"me:{hashed}\n"},
    }
    named = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "map"}, "stringData": {"me": hashed}}
    canary = CANARY.ingress()
    canary["metadata"]["name"] = "canary-other"
    for name, one in (("echo", script), ("users", users), ("map", named), ("canary", canary)):
        (objects / f"{name}.json").write_text(json.dumps(one), encoding="utf-8")
    for case in CASES:
        (objects / f"ingress-{case.name}.json").write_text(json.dumps(case.ingress()), encoding="utf-8")
    servers = "---\n".join(SERVER.replace("CALLED", name) for name in ("echo", "other"))
    (objects / "servers.yaml").write_text(servers, encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_annotation_has_the_effect_that_docs_say(project: Project, case: Case) -> None:
    said = project.ask(case)
    assert re.search(case.answer, said, re.DOTALL), said


def test_service_upstream_asks_the_service_instead_of_pods(project: Project) -> None:
    """`up` would wait for hosts without pods, so that these come after it."""
    cluster = Cluster(project.names.kubeconfig)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "podless", "namespace": "default"}}
    cluster.apply({**service, "spec": {"selector": {"app": "podless"}, "ports": [{"port": 80}]}})
    for case in PODLESS:
        cluster.apply(case.ingress())

        def otherwise(case: Case = case) -> str | None:
            said = project.ask(case)
            return None if re.search(case.answer, said) else said or "no answer"

        wait_until(otherwise, what=case.name, timeout=20)


def test_annotations_without_effect_are_named_by_up(project: Project) -> None:
    assert "note        Ingress default/ignored: denylist-source-range has no effect" in project.said
    assert "default/rewrite" not in project.said


def test_classes_of_the_spec_are_in_the_cluster(project: Project) -> None:
    classes = {
        one["metadata"]["name"]: one["spec"]["controller"]
        for one in Cluster(project.names.kubeconfig).list("networking.k8s.io/v1", "IngressClass")
    }
    assert classes == dict.fromkeys(("nginx", "alb"), "k8s.io/ingress-nginx")


def test_every_annotation_that_works_is_asked_or_left_out() -> None:
    asked = {name for case in (*CASES, CANARY, *PODLESS) for name in case.says}
    assert set(known().works) - asked == UNASKED
