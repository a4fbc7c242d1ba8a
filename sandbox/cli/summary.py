"""The result of a command that brings a sandbox up: its addresses and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import click

from sandbox.app.views.overview import Addresses, addresses
from sandbox.cli.output import show_json
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


def welcome(spec: ResolvedSpec, output: str = "text", *, progress: str) -> None:
    """Print the sandbox's addresses on stdout, for people unless `progress` is quiet, or as `output` json."""
    if output == "text" and progress == "quiet":
        return
    found = addresses(spec)
    if output == "json":
        show_json(_result(spec, found))
    else:
        _show(spec, found)


def _result(spec: ResolvedSpec, found: Addresses) -> Up:
    return Up(
        name=spec.name,
        urls=[url for host in found.hosts for url in found.urls(host)],
        network_urls=found.exposure.urls,
        registry=found.registry,
        context=found.context,
        kubeconfig=str(found.kubeconfig),
        root_certificate=str(found.root_certificate),
    )


def _show(spec: ResolvedSpec, found: Addresses) -> None:
    for host in found.hosts:
        click.echo(found.urls(host)[0] + "".join(f"   and :{port}" for port in found.ports[1:]))
    click.echo(f"registry    {found.registry}   (sandbox push-images)")
    click.echo(
        f"kubectl     --context {found.context}"
        if found.context
        else f"kubectl     --kubeconfig {shlex.quote(str(found.kubeconfig))}"
    )
    if spec.takes_https_ports:  # else neither the way nor the certificate is the sandbox's
        click.echo(f"trust       {found.root_certificate}")
        click.echo(f"try         {_curl(spec, found)}")
    for note in found.notes:
        click.echo(f"{click.style('note', fg='yellow')}        {note}")
    exposure = found.exposure
    if exposure.access.open:
        click.echo(f"{click.style('network', fg='yellow')}     {exposure.warning}")
        for url in exposure.urls:
            click.echo(f"            {url}")


def _curl(spec: ResolvedSpec, found: Addresses) -> str:
    host, port = found.tried, found.ports[0]
    at = Bind(spec.edge.listen, port).asked_at
    # curl itself knows that names of .localhost are at 127.0.0.1, and a public name may lead anywhere else.
    known = host.endswith(".localhost") and (at == "127.0.0.1" or not at.startswith("127."))
    there = "" if known else f" --resolve {host}:{port}:{at}"
    return f"curl --cacert {shlex.quote(str(found.root_certificate))}{there} {found.urls(host)[0]}"
