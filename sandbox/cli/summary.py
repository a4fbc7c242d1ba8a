"""The result of a command that brings a sandbox up: its addresses and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import Call

if TYPE_CHECKING:  # slow to import, and help needs none of it
    from sandbox.app.views.overview import Addresses
    from sandbox.config.schema import ResolvedSpec


@dataclass(frozen=True, kw_only=True)
class Up:
    """`context` is null if the user's kubeconfig does not have it."""

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
    from sandbox.app.views import overview

    sandbox = overview.addresses(spec)
    result = Up(
        name=spec.name,
        urls=[url for host in sandbox.hosts for url in sandbox.urls(host)],
        network_urls=sandbox.network.urls,
        registry=sandbox.registry,
        context=sandbox.context,
        kubeconfig=str(sandbox.kubeconfig),
        root_certificate=str(sandbox.root_certificate),
    )
    call.show(result, _lines(spec, sandbox))


def _lines(spec: ResolvedSpec, sandbox: Addresses) -> Iterator[str]:
    from sandbox.engine import Bind

    for host in sandbox.hosts:
        yield sandbox.urls(host)[0] + "".join(f"   and :{port}" for port in sandbox.ports[1:])
    yield f"registry    {sandbox.registry}   (sandbox push-images)"
    kubeconfig, root = shlex.quote(str(sandbox.kubeconfig)), shlex.quote(str(sandbox.root_certificate))
    yield f"kubectl     --context {sandbox.context}" if sandbox.context else f"kubectl     --kubeconfig {kubeconfig}"
    if spec.takes_https_ports:  # else neither the way nor the certificate is the sandbox's
        host, port = sandbox.tried, sandbox.ports[0]
        address = Bind(spec.edge.listen, port).asked_at
        # curl itself knows that names of .localhost are at 127.0.0.1, and a public name may lead anywhere else.
        resolves = host.endswith(".localhost") and (address == "127.0.0.1" or not address.startswith("127."))
        way = "" if resolves else f" --resolve {host}:{port}:{address}"
        yield f"trust       {sandbox.root_certificate}"
        yield f"try         curl --cacert {root}{way} {sandbox.urls(host)[0]}"
    for note in sandbox.notes:
        yield f"{click.style('note', fg='yellow')}        {note}"
    if sandbox.network.open:
        yield f"{click.style('network', fg='yellow')}     {sandbox.network.warning}"
        for url in sandbox.network.urls:
            yield f"            {url}"
