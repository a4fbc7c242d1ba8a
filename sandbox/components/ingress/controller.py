"""The classes that the sandbox's ingress controller serves, and the templates of its objects."""

from collections.abc import Mapping
from string import Template
from typing import Any

from sandbox.config import yaml_text
from sandbox.system import files

Manifest = Mapping[str, Any]
# The IngressClass of the sandbox's controller, and the name of what serves it (ingress-nginx's own names).
CLASS, SERVED_BY = "nginx", "k8s.io/ingress-nginx"


def template_text(name: str) -> str:
    return files.packaged(__package__, name)


def template_objects(file: str, /, **values: str) -> list[dict[str, Any]]:
    return yaml_text.documents(Template(template_text(file)).substitute(values))


def template_object(file: str, /, **values: str) -> dict[str, Any]:
    (manifest,) = template_objects(file, **values)
    return manifest
