"""The result of a command that brings a sandbox up: its addresses and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from sandbox.app.views.overview import Addresses, addresses
from sandbox.cli.options import Call
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind


@dataclass(frozen=True, kw_only=True)
class Up:
    """`sandbox up` and `sandbox start`; `context` is null if the user's kubeconfig does not have it."""

    name: str
    urls: Sequence[str]
    network_urls: Sequence[str]
    registry: str
    context: str | None
    kubeconfig: str
    root_certificate: str


def welcome(spec: ResolvedSpec, call: Call) -> None:
    """Print the sandbox's addresses on stdout; none for people who want it quiet."""
    if call.output == "text" and call.progress == "quiet":
        return
    found = addresses(spec)
    result = Up(
        name=spec.name,
        urls=[url for host in found.hosts for url in found.urls(host)],
        network_urls=found.exposure.urls,
        registry=found.registry,
        context=found.context,
        kubeconfig=str(found.kubeconfig),
        root_certificate=str(found.root_certificate),
    )
    call.show(result, _lines(spec, found))


def _lines(spec: ResolvedSpec, found: Addresses) -> Iterator[str]:
    for host in found.hosts:
        yield found.urls(host)[0] + "".join(f"   and :{port}" for port in found.ports[1:])
    yield f"registry    {found.registry}   (sandbox push-images)"
    kubeconfig = shlex.quote(str(found.kubeconfig))
    yield f"kubectl     --context {found.context}" if found.context else f"kubectl     --kubeconfig {kubeconfig}"
    if spec.takes_https_ports:  # else neither the way nor the certificate is the sandbox's
        yield f"trust       {found.root_certificate}"
        yield f"try         {_curl(spec, found)}"
    for note in found.notes:
        yield f"{click.style('note', fg='yellow')}        {note}"
    exposure = found.exposure
    if exposure.access.open:
        yield f"{click.style('network', fg='yellow')}     {exposure.warning}"
        for url in exposure.urls:
            yield f"            {url}"


def _curl(spec: ResolvedSpec, found: Addresses) -> str:
    host, port = found.tried, found.ports[0]
    at = Bind(spec.edge.listen, port).asked_at
    # curl itself knows that names of .localhost are at 127.0.0.1, and a public name may lead anywhere else.
    known = host.endswith(".localhost") and (at == "127.0.0.1" or not at.startswith("127."))
    there = "" if known else f" --resolve {host}:{port}:{at}"
    return f"curl --cacert {shlex.quote(str(found.root_certificate))}{there} {found.urls(host)[0]}"
