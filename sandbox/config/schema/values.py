"""The kinds of value a sandbox.yaml holds, each with what is refused and why, in words for the author of it."""

import ipaddress
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from sandbox.config.model import matching, text_schema
from sandbox.config.problems import Misfits

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 section 2.1, lower case as Kubernetes wants it
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
SERVICE_PORT = rf"{LABEL}/{LABEL}(:([0-9]{{1,5}}|{LABEL}))?"  # a name of a port is a label too
_HOST_PORT = rf"{SUBDOMAIN}(:[0-9]+)?"
# A single label without a port would be part of a name on Docker Hub.
_QUALIFIED = rf"(localhost|{LABEL}:[0-9]+|{LABEL}(\.{LABEL})+(:[0-9]+)?)"
_COUNT = r"(0|[1-9][0-9]*)"
# v1.36 means any patch of it. A number without the v could be 1.4 for 1.40.
RELEASE = rf"(v{_COUNT}\.{_COUNT}(\.{_COUNT})?|{_COUNT}\.{_COUNT}\.{_COUNT})"

AUTO = "auto"
PROXY_SCHEMES = ("http", "https", "socks5")  # that Go's programs in nodes use too
MAX_NAME = 40  # the names of containers and networks are longer, and host names end at 63
MAX_DOMAIN = 189  # leaves room for one more label of 63 in the 253 of a host name


def checked_name(value: str) -> str:
    if len(value) > MAX_NAME or not re.fullmatch(LABEL, value):
        raise ValueError(
            f"must be at most {MAX_NAME} lower-case letters, digits and hyphens, with no hyphen first or last"
        )
    return value


def as_name(text: str, *, most: int | None = MAX_NAME) -> str:
    """Return what of the text can be a sandbox's name, of at most so many characters; empty where nothing can."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:most].strip("-")


def _port(value: str) -> str:
    _, colon, rest = value.rpartition(":")
    port = rest.partition("/")[0]  # of a mirror, which may have a path
    if colon and port.isdigit() and not 0 < int(port) < 65536:
        raise ValueError(f"must have a port from 1 to 65535, not '{port}'")
    return value


def _short(value: str) -> str:
    if len(value.partition(":")[0]) > 253:
        raise ValueError("must be at most 253 characters, as host names are")
    return value


def _domain(value: str) -> str:
    if "." not in value.strip("."):
        raise ValueError(
            f"must have two labels or more, such as 'demo.{value.strip('.') or 'localhost'}': OpenSSL, curl, Node and "
            "Chrome refuse a wildcard certificate directly below a single label"
        )
    if len(value) > MAX_DOMAIN or not re.fullmatch(SUBDOMAIN, value):
        message = "must be lower-case letters, digits and hyphens, in labels separated by dots, at most"
        raise ValueError(f"{message} {MAX_DOMAIN}")
    if value.rpartition(".")[2].isdigit():
        raise ValueError("must not end in a number: browsers take that for an IP address")
    return value


def is_domain(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(_domain(value))
    except ValueError:
        return False


def _number_as_text(value: Any) -> Any:
    # So that the error says what is missing, not to put it in quotes.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _node_path(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise ValueError("must be an absolute path in the nodes, such as /data")
    return str(path)


def _address(value: str) -> str:
    try:
        # a zone (fe80::1%eth0) means nothing in a container
        return ipaddress.ip_address(value.replace("%", " ")).compressed
    except ValueError as error:
        raise ValueError("must be an IP address, without a port") from error


def _pod_address(value: str) -> str:
    address = ipaddress.ip_address(_address(value))
    if address.version != 4:
        raise ValueError(f"must be an IPv4 address, since pods have no other: {address} is not one")
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        raise ValueError(f"must be an address that pods can reach: {address} is not one")
    return str(address)


def _proxy_url(value: str) -> str:
    host = proxy_host(value)
    if not host:
        raise ValueError("must be a URL such as http://proxy.example.com:3128")  # it may hold a password
    if is_loopback(host):
        raise ValueError(f"must be a host that containers can reach: {host} would be themselves")
    return value


def proxy_host(url: str, schemes: Sequence[str] = PROXY_SCHEMES) -> str:
    """Return the host of a proxy's URL, empty for a text that is not such a URL."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in schemes and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        return ""
    ends_there = parts.path in ("", "/") and not (parts.query or parts.fragment)
    return parts.hostname or "" if is_valid and ends_there else ""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Path) and info.mode == "json":  # a default
        return str(value)
    if isinstance(value, str):
        if not value.strip() or "\0" in value:
            raise ValueError("must be a path, not empty")
        if "://" in value:
            raise ValueError("must be a file or folder on this machine, not a URL")
        if value.startswith("~/"):
            return str(Path.home() / value[2:])
    return value


def _absolute(path: Path, info: ValidationInfo) -> Path:
    return info.context / path if info.context else path


def _addon(value: str, info: ValidationInfo) -> str:
    if "/" not in value:
        if not re.fullmatch(LABEL, value):
            raise ValueError("must be the name of an addon, or a folder with one such as ./my-addon")
        return value
    path = _absolute(Path(_path(value, info)), info)
    return os.path.normpath(path) if path.is_absolute() else value


def _auto_for_both(value: Any) -> Any:
    if value == AUTO:
        return (AUTO, AUTO)
    return tuple(value) if isinstance(value, list) else value


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index] and value != AUTO:
            raise Misfits(((index,), f"{value} is given twice"))
    return values


Port = Annotated[int, Field(ge=1, le=65535)]
AutoPort = Port | Literal["auto"]
Address = Annotated[str, AfterValidator(_address), text_schema(anyOf=[{"format": "ipv4"}, {"format": "ipv6"}])]
PodAddress = Annotated[str, AfterValidator(_pod_address), text_schema(format="ipv4")]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url), text_schema(format="uri")]
Host = Annotated[
    str,
    *matching(SUBDOMAIN, "must be one exact host name of lower-case letters, digits and hyphens, without *"),
    AfterValidator(_short),
]
RegistryHost = Annotated[
    str,
    *matching(
        _HOST_PORT,
        "must be a host name such as registry.demo.sandbox.localhost, or one with :PORT, in lower case and "
        "without scheme, path or *",
    ),
    AfterValidator(_short),
    AfterValidator(_port),
]
Upstream = Annotated[
    str,
    *matching(rf"({SUBDOMAIN}|\[[0-9a-f:.]+\]):[0-9]+", "must be HOST:PORT, such as localhost:3000"),
    AfterValidator(_port),
]
ServicePort = Annotated[
    str,
    *matching(SERVICE_PORT, "must be NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT, such as shop/db:5432"),
    AfterValidator(_port),
]
RegistryUrl = Annotated[
    str,
    *matching(
        rf"(https?://)?{_QUALIFIED}",
        "must be HOST or HOST:PORT as in image names, with http:// before it where there is no TLS",
    ),
    AfterValidator(_port),
]
_MirroredHost = Annotated[
    str, *matching(_QUALIFIED, "must be HOST or HOST:PORT as image names begin"), AfterValidator(_port)
]
_Mirror = Annotated[
    str,
    *matching(
        rf"{_QUALIFIED}(/[a-z0-9]+([._/-][a-z0-9]+)*)?",
        "must be HOST, HOST:PORT or one with /PATH, in lower case and without a scheme: the engine pulls from it",
    ),
    AfterValidator(_port),
]
# One is docker.io's; several are each of the registry before it.
Mirrors = _Mirror | dict[_MirroredHost, _Mirror]
Duration = Annotated[
    str,
    BeforeValidator(_number_as_text),
    *matching("[1-9][0-9]{0,3}[mh]", "must be minutes or hours, such as 30m or 2h"),
]
LocalPath = Annotated[Path, BeforeValidator(_path), AfterValidator(_absolute)]
NodePath = Annotated[str, AfterValidator(_node_path), text_schema(pattern="^/.+")]
FeatureGate = Annotated[
    str, *matching("[A-Z][A-Za-z0-9]*", "must be the name of a feature gate, such as ContainerCheckpoint, not '{}'")
]
AddonSource = Annotated[str, AfterValidator(_addon)]
Unique = AfterValidator(_unique)
_AutoPorts = Annotated[tuple[AutoPort, ...], Field(min_length=1, max_length=4)]
AutoPorts = Annotated[
    _AutoPorts, Unique, BeforeValidator(_auto_for_both, json_schema_input_type=Literal["auto"] | _AutoPorts)
]
Ports = Annotated[tuple[Port, ...], Field(min_length=1, max_length=4), Unique]
Name = Annotated[str, AfterValidator(checked_name), text_schema(pattern=f"^{LABEL}$", maxLength=MAX_NAME)]
Label = Annotated[
    str, *matching(LABEL, "must be at most 63 lower-case letters, digits and hyphens, with no hyphen first or last")
]
Subdomain = Annotated[
    str,
    *matching(SUBDOMAIN, "must be lower-case letters, digits and hyphens, in parts separated by dots"),
    AfterValidator(_short),
]
Domain = Annotated[str, AfterValidator(_domain), text_schema(pattern=rf"^{LABEL}(\.{LABEL})+$", maxLength=MAX_DOMAIN)]
Release = Annotated[
    str,
    BeforeValidator(_number_as_text),
    *matching(RELEASE, "must be a Kubernetes version such as v1.36 or v1.36.3"),
    AfterValidator(lambda version: "v" + version.removeprefix("v")),
]
