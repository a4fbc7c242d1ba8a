"""Reports annotations of Ingresses that have no effect in a sandbox, and what to use instead.

The controller silently ignores annotations that it does not know. Those that it knows are in annotations.yaml.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import controller
from sandbox.config import yaml_text

PREFIX = "nginx.ingress.kubernetes.io"
SNIPPETS = ("configuration-snippet", "server-snippet", "auth-snippet")
# The directive's name at the start of each: after a semicolon, a brace or the beginning.
_DIRECTIVE = re.compile(r"(?:^|[;{}])\s*([a-z_]+)(?=[\s;{])")
# Quoted texts, in which semicolons and braces mean nothing, and comments.
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|#[^\n]*')


@dataclass(frozen=True, kw_only=True)
class Known:
    """The content of annotations.yaml; names are without the prefix."""

    works: Mapping[str, str]
    ignored: Mapping[str, str]
    directives: Sequence[str]
    others: Mapping[str, str]


@functools.cache
def known() -> Known:
    return Known(**yaml_text.document(controller.template_text("annotations.yaml")))


def without_effect(ingress: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each annotation of an Ingress that has no effect, or another than intended."""
    annotations = ingress["metadata"].get("annotations") or {}
    for full, value in annotations.items():
        prefix, _, name = str(full).partition("/")
        if prefix in known().others:
            yield f"{full} has no effect: it is for {known().others[prefix]}"
        if prefix == PREFIX:
            yield from _nginx(name, str(value))


def _nginx(name: str, value: str) -> Iterator[str]:
    if name in known().ignored:
        instead = known().ignored[name]
        yield f"{name} has no effect" + (f": {instead}" if instead else "")
    elif name not in known().works:
        yield f"{name} has no effect: it is not known"
    elif name in SNIPPETS:
        bare = _QUOTED.sub('""', value)
        directives = dict.fromkeys(_DIRECTIVE.findall(bare))
        unknown = [name for name in directives if name not in known().directives]
        if unknown:
            yield f"{name}: the directive {', '.join(unknown)} is not supported, so that the host is not served"
