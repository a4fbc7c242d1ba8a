"""The script that keeps the page in step with Traefik: what it makes of the answers of Traefik's API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.ingress import controller, default_backend
from sandbox.system.wait import wait_until
from tests.support.programs import make_program

# In the place of busybox: what it asks is read from a file, what it would serve is left, a wait is short.
BUSYBOX = """#!/bin/sh
command=$1
shift
case $command in
wget)
    for url; do
        case $url in
        */services*) cat "$ANSWERS/services" || exit ;;
        */cluster/*) cat "$ANSWERS/${url##*/}" || exit ;;
        */api/*)
            kind=${url#*/api/}
            cat "$ANSWERS/${kind%%/*}" && echo || exit
            ;;
        esac
    done
    ;;
httpd) exec sleep 60 ;;
sleep) exec sleep 0.05 ;;
*) exec "$command" "$@" ;;
esac
"""


@dataclass(frozen=True)
class Pod:
    """The script at work; `http` and `tcp` in `answers` are what Traefik would say."""

    answers: Path
    site: Path
    dynamic: Path
    elsewhere: Path

    def say(self, http: list[str], tcp: list[str]) -> None:
        """Let Traefik have routers with these rules. Its JSON escapes what HTML could take for markup."""
        for kind, rules in (("http", http), ("tcp", tcp)):
            routers: list[dict[str, Any]] = [{"rule": rule, "status": "enabled"} for rule in rules]
            text = json.dumps(routers).replace("&", "\\u0026").replace("<", "\\u003c")
            (self.answers / "new").write_text(text)
            (self.answers / "new").rename(self.answers / kind)

    @property
    def hosts(self) -> list[str]:
        text = (self.site / "404.html").read_text()
        return re.findall(r'<li><a href="https://([^/"]*)/">', text)

    @property
    def misdirected(self) -> str:
        return str(
            yaml.safe_load((self.dynamic / "misdirected.yaml").read_text())["http"]["routers"]["misdirected"]["rule"]
        )


def becomes(what: Callable[[], object], wanted: object) -> None:
    """Wait until `what` gives `wanted`."""

    def differs() -> str | None:
        try:
            found = what()
        except OSError as error:
            return str(error)
        return None if found == wanted else repr(found)

    wait_until(differs, what="the script", timeout=20, pause=0.02)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    folders = {name: tmp_path / name for name in ("bin", "parts", "answers", "site", "dynamic", "elsewhere", "account")}
    for folder in folders.values():
        folder.mkdir()
    make_program(folders["bin"] / "busybox", BUSYBOX)
    script = {
        name: controller.template_text(name) for name in ("page.sh", "known.yaml", "misdirected.yaml", "cluster.yaml")
    }
    for name, text in {**default_backend.parts("demo"), **script}.items():
        (folders["parts"] / name).write_text(text)
    places = [folders[name] for name in ("parts", "site", "dynamic", "elsewhere")]
    child = subprocess.Popen(
        ["sh", folders["parts"] / "page.sh", *places, ":8443", folders["account"]],
        env={
            "PATH": f"{folders['bin']}:{os.environ['PATH']}",
            "ANSWERS": str(folders["answers"]),
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "KUBERNETES_SERVICE_PORT": "6443",
        },
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    (folders["account"] / "token").write_text("token")
    yield Pod(*(folders[name] for name in ("answers", "site", "dynamic", "elsewhere")))
    child.terminate()
    assert child.wait(10) == 0
    # Both halves of what it started are gone with it, or now.
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_page_exists_before_traefik_answers(pod: Pod) -> None:
    becomes(lambda: "none yet" in (pod.site / "404.html").read_text(), True)


def test_hundreds_of_hosts_are_listed_and_followed(pod: Pod) -> None:
    many = [f"Host(`h{number}.demo.test`) && PathPrefix(`/`)" for number in range(2000)]
    pod.say(many, [])
    becomes(lambda: len(pod.hosts), 2000)
    pod.say(many[1:], ["HostSNI(`tls.demo.test`)"])
    becomes(lambda: ("h0.demo.test:8443" in pod.hosts, "tls.demo.test:8443" in pod.hosts), (False, True))


def test_traefik_is_given_what_depends_on_the_ingresses(pod: Pod) -> None:
    becomes(lambda: (pod.dynamic / "known.yaml").read_text(), controller.template_text("known.yaml"))


def test_the_page_is_the_same_that_python_makes(pod: Pod) -> None:
    pod.say(["Host(`b.test`)"], ["HostSNI(`a.test`)"])
    becomes(
        lambda: (pod.site / "404.html").read_text(), default_backend.render("demo", ["a.test", "b.test"], port=8443)
    )


def test_page_lists_exact_hosts_of_all_router_kinds_and_quotes(pod: Pod) -> None:
    pod.say(
        [
            'Host("one.test") && PathPrefix("/")',
            "(Host(`two.test`) || Host(`three.test`)) && Path(`/x`)",
            'PathPrefix("/")',
        ],
        ['HostSNI("four.test")', "HostSNI(`*`)", "HostSNI(`one.test`)"],
    )
    becomes(lambda: pod.hosts, [f"{name}.test:8443" for name in ("four", "one", "three", "two")])


def test_invalid_host_names_never_get_into_the_page(pod: Pod) -> None:
    rules = [
        "Host(`<script>alert(1)</script>`)",
        "Host(`a b`)",
        'HostRegexp("^[a-z]+\\\\.wild\\\\.test$")',
        'Host(`x"y`)',
    ]
    pod.say([*rules, "Host(`good.test`)"], [])
    becomes(lambda: pod.hosts, ["good.test:8443"])
    assert "alert" not in (pod.site / "404.html").read_text()


def test_page_keeps_its_list_while_traefik_does_not_answer(pod: Pod) -> None:
    pod.say(["Host(`a.test`)"], [])
    becomes(lambda: pod.hosts, ["a.test:8443"])
    (pod.answers / "http").unlink()
    pod.say(["Host(`b.test`)"], [])
    becomes(lambda: pod.hosts, ["b.test:8443"])
    pod.say([], [])
    becomes(lambda: pod.hosts, [])


def test_only_passthrough_hosts_get_421_to_reconnect(pod: Pod) -> None:
    pod.say(["Host(`plain.test`)"], ["HostSNI(`b.test`)", 'HostSNI("a-1.test")'])
    becomes(lambda: pod.misdirected, "HostRegexp(`^(a-1[.]test|b[.]test)$`)")
    pod.say(["Host(`plain.test`)"], [])
    becomes(lambda: (pod.dynamic / "misdirected.yaml").read_text(), "")


def test_outside_hosts_are_listed_and_get_421_as_they_change(pod: Pod) -> None:
    (pod.elsewhere / "hosts").write_text("dev.test\nb.test\n")
    pod.say(["Host(`plain.test`)"], ["HostSNI(`b.test`)"])
    becomes(lambda: pod.misdirected, "HostRegexp(`^(b[.]test|dev[.]test)$`)")
    becomes(lambda: pod.hosts, ["b.test:8443", "dev.test:8443", "plain.test:8443"])
    (pod.elsewhere / "hosts").write_text("")
    becomes(lambda: pod.misdirected, "HostRegexp(`^(b[.]test)$`)")
    becomes(lambda: pod.hosts, ["b.test:8443", "plain.test:8443"])


CLASSES = """apiVersion: networking.k8s.io/v1
items:
- metadata:
    name: nginx
  spec:
    controller: k8s.io/ingress-nginx
- metadata:
    name: other
  spec:
    controller: example.com/other
kind: IngressClassList
"""
INGRESSES = """apiVersion: networking.k8s.io/v1
items:
- metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"spec":{"ingressClassName":"nginx"}}
    name: ours
    namespace: shop
  spec:
    ingressClassName: nginx
    rules:
    - host: ours.test
- metadata:
    annotations:
      kubernetes.io/ingress.class: gce
    name: old
    namespace: shop
  spec:
    rules:
    - host: old.test
- metadata:
    name: lb
    namespace: shop
  spec:
    ingressClassName: alb
    rules:
    - host: a.lb.test
      http:
        paths:
        - backend:
            service:
              name: web
    - host: b.lb.test
- metadata:
    name: theirs
    namespace: shop
  spec:
    ingressClassName: other
    rules:
    - host: "<b>.test"
    - host: theirs.test
kind: IngressList
"""


def test_hosts_of_another_class_are_named_with_it(pod: Pod) -> None:
    (pod.answers / "ingressclasses").write_text(CLASSES)
    (pod.answers / "ingresses").write_text(INGRESSES)
    pod.say(["Host(`ours.test`)"], [])
    becomes(lambda: pod.hosts, ["ours.test:8443"])
    text = (pod.site / "404.html").read_text()
    said = re.findall(
        r"<li><p><code>(.*?)</code>: the Ingress <code>(.*?)</code> has the class <code>(.*?)</code>", text
    )
    assert said == [
        ("old.test", "shop/old", "gce"),
        ("a.lb.test", "shop/lb", "alb"),
        ("b.lb.test", "shop/lb", "alb"),
        ("theirs.test", "shop/theirs", "other"),
    ]
    assert "<code>ingress: {classes: [alb]}</code>" in text


def test_hosts_whose_service_has_no_pod_are_named(pod: Pod) -> None:
    routers = [
        {"entryPoints": ["web"], "service": "shop-web", "rule": "Host(`web.test`) && Path(`/`)", "name": "a@x"},
        {"entryPoints": ["web"], "service": "shop-late", "rule": 'Host("late.test")', "name": "b@x"},
    ]
    sticky = {"cookie": {"name": "who"}}
    services: list[dict[str, object]] = [
        {"loadBalancer": {"sticky": sticky, "servers": [{"url": "http://10.1.1.1:80"}]}, "name": "shop-web@x"},
        {"loadBalancer": {"sticky": sticky, "passHostHeader": True}, "status": "enabled", "name": "shop-late@x"},
        {"status": "enabled", "name": "api@internal"},
    ]
    for name, content in (("services", [{**one, "provider": "x", "type": "y"} for one in services]), ("http", routers)):
        (pod.answers / name).write_text(json.dumps(content, separators=(",", ":")))
    (pod.answers / "tcp").write_text("[]")
    becomes(lambda: pod.hosts, ["late.test:8443", "web.test:8443"])
    text = (pod.site / "404.html").read_text()
    assert re.findall(r"No pod is ready.*?<code>sandbox doctor tls (.*?)</code>", text) == ["late.test"]


def test_the_cluster_is_asked_through_traefik(pod: Pod) -> None:
    becomes(lambda: "https://10.0.0.1:6443" in (pod.dynamic / "cluster.yaml").read_text(), True)
