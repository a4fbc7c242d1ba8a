"""The kinds of value a sandbox.yaml holds, each with what is refused and why, in words for whoever wrote it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from sandbox import document

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 section 2.1, lower case as Kubernetes wants it
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
RELEASE = r"v?(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"

MAX_NAME = 40  # the names of containers and networks are longer, and host names end at 63
MAX_DOMAIN = 189  # leaves room for one more label of 63 in the 253 of a host name


def _name(value: str) -> str:
    if len(value) > MAX_NAME or not re.fullmatch(LABEL, value):
        raise ValueError(
            f"must be at most {MAX_NAME} lower-case letters, digits and hyphens, with no hyphen first or last"
        )
    return value


def _label(value: str) -> str:
    if not re.fullmatch(LABEL, value):
        raise ValueError("must be at most 63 lower-case letters, digits and hyphens, with no hyphen first or last")
    return value


def _subdomain(value: str) -> str:
    if len(value) > 253 or not re.fullmatch(SUBDOMAIN, value):
        raise ValueError("must be lower-case letters, digits and hyphens, in parts separated by dots")
    return value


def _host(value: str) -> str:
    if "*" in value:
        raise ValueError("must be one exact host name: every host of the domain has the wildcard certificate already")
    return _subdomain(value)


def _domain(value: str) -> str:
    if "." not in value.strip("."):
        raise ValueError(
            f"must have two labels or more, such as 'demo.{value.strip('.') or 'localhost'}': OpenSSL, curl, Node and "
            "Chrome refuse a wildcard certificate directly below a single label"
        )
    if len(value) > MAX_DOMAIN or not re.fullmatch(SUBDOMAIN, value):
        raise ValueError(
            f"must be lower-case letters, digits and hyphens, in labels separated by dots, at most {MAX_DOMAIN}"
        )
    if value.rpartition(".")[2].isdigit():
        raise ValueError("must not end in a number: browsers take that for an IP address")
    return value


def _release(value: str) -> str:
    if not re.fullmatch(RELEASE, value):
        raise ValueError("must be a full Kubernetes version such as v1.36.3")
    return "v" + value.removeprefix("v")


def _one_node(value: Any) -> Any:
    if value != 1 or type(value) is not int:
        raise ValueError("must be 1: a sandbox has a single node for now")
    return value


def _address(value: str) -> str:
    try:
        # a zone (fe80::1%eth0) means nothing in a container
        return ipaddress.ip_address(value.replace("%", " ")).compressed
    except ValueError as error:
        raise ValueError("must be an IP address such as 127.0.0.1 or ::1") from error


def _nameserver(value: str) -> str:
    value = _address(value)
    address = ipaddress.ip_address(value)
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise ValueError(f"must be an address that pods can reach: {value} is not one")
    return value


def _path(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip() or "\0" in value:
            raise ValueError("must be a path, not empty")
        if "://" in value:
            raise ValueError("must be a file or folder on this machine, not a URL")
        if value.startswith("~"):
            raise ValueError("must be absolute or relative to this file's folder: '~' is not expanded")
    return value


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise document.Misfits(((index,), f"{value} is given twice"))
    return values


Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[
    str, AfterValidator(_address), Field(json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
]
Nameserver = Annotated[str, AfterValidator(_nameserver)]
Host = Annotated[str, AfterValidator(_host), Field(json_schema_extra={"pattern": f"^{SUBDOMAIN}$"})]
LocalPath = Annotated[Path, BeforeValidator(_path)]
Unique = AfterValidator(_unique)
Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{LABEL}$", "maxLength": MAX_NAME})]
Label = Annotated[str, AfterValidator(_label), Field(json_schema_extra={"pattern": f"^{LABEL}$"})]
Subdomain = Annotated[str, AfterValidator(_subdomain), Field(json_schema_extra={"pattern": f"^{SUBDOMAIN}$"})]
Domain = Annotated[
    str,
    AfterValidator(_domain),
    Field(json_schema_extra={"pattern": rf"^{LABEL}(\.{LABEL})+$", "maxLength": MAX_DOMAIN}),
]
Release = Annotated[str, AfterValidator(_release), Field(json_schema_extra={"pattern": f"^{RELEASE}$"})]
OneNode = Annotated[Literal[1], BeforeValidator(_one_node)]
