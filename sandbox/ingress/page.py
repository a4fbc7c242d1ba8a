"""The page that unknown hosts get: plain HTML, no scripts, listing the hosts that do exist."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.ingress.traefik import NAMESPACE

_TITLE = "404: no such host in"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} {name}</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 10vh auto; padding: 0 1.25rem }}
  h1 {{ font-size: 1.5rem }}
  code {{ font-size: .95em }}
  li {{ margin: .4rem 0; overflow-wrap: anywhere }}
</style>
<h1>Nothing answers to this name here</h1>
<p>You have reached the sandbox <code>{name}</code>, and it has no such host. {hosts}</p>
</html>
"""


def hosts_of(ingresses: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The host names of Ingress objects, sorted, each once; wildcards are not links and are left out."""
    rules = (rule for one in ingresses for rule in (one.get("spec") or {}).get("rules") or ())
    return tuple(sorted({rule["host"] for rule in rules if rule.get("host") and "*" not in rule["host"]}))


def render(name: str, hosts: Iterable[str], *, port: int) -> str:
    """The page for the sandbox `name`, whose hosts are reached at `port` of this machine."""
    suffix = "" if port == 443 else f":{port}"
    links = "".join(
        f'<li><a href="https://{html.escape(host)}{suffix}/">{html.escape(host)}</a></li>' for host in sorted(hosts)
    )
    known = f"These it has:</p>\n<ul>{links}</ul>\n<p>" if links else "No Ingress has been applied yet."
    return _PAGE.format(title=_TITLE, name=html.escape(name), hosts=known)


def is_default(page: str) -> bool:
    """Whether a page, or its beginning, is the one that unknown hosts get."""
    return f"<title>{_TITLE}" in page


def manifest(page: str) -> dict[str, Any]:
    """The ConfigMap that the default backend serves the page from."""
    data = {"404.html": page, "httpd.conf": "E404:/site/404.html\n"}
    metadata = {"name": "default-backend", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
