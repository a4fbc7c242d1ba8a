"""The result of a command that brings a sandbox up: its addresses and what to type next."""

from __future__ import annotations

import shlex

import click

from sandbox.app.overview import addresses
from sandbox.cli.output import show_json
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind


def welcome(spec: ResolvedSpec, output: str = "text") -> None:
    """Print the sandbox's addresses on stdout, for people, or for programs as `output` json."""
    found = addresses(spec)
    exposure = found.exposure
    if output == "json":
        said = {
            "name": spec.name,
            "urls": [url for host in found.hosts for url in found.urls(host)],
            "network_urls": exposure.urls,
            "neighbours": exposure.neighbours,
            "registry": found.registry,
            "context": found.context,
            "kubeconfig": str(found.kubeconfig),
            "root_certificate": str(found.root_certificate),
        }
        show_json(said)
        return
    for host in found.hosts:
        others = ("" if port == 443 else f":{port}" for port in found.ports[1:])
        click.echo(found.urls(host)[0] + "".join(f"   and {port}" for port in others))
    click.echo(f"registry    {found.registry}   (sandbox push-images)")
    click.echo(
        f"kubectl     --context {found.context}"
        if found.context
        else f"kubectl     --kubeconfig {shlex.quote(str(found.kubeconfig))}"
    )
    click.echo(f"trust       {found.root_certificate}")
    host, port = found.tried, found.ports[0]
    # curl itself knows where names of .localhost are, and a public name may lead anywhere else.
    there = "" if host.endswith(".localhost") else f" --resolve {host}:{port}:{Bind(spec.edge.listen, port).asked_at}"
    trust = "--insecure" if found.third_party else f"--cacert {shlex.quote(str(found.root_certificate))}"
    why = "   (its certificate is of its own Secret)" if found.third_party else ""
    click.echo(f"try         curl {trust}{there} {found.urls(host)[0]}{why}")
    for note in found.notes:
        click.echo(f"{click.style('note', fg='yellow')}        {note}")
    if exposure.access.open:
        click.echo(f"{click.style('network', fg='yellow')}     {exposure.warning}")
        for url in exposure.urls:
            click.echo(f"            {url}")
    if exposure.neighbours:
        click.echo(f"{click.style('neighbours', fg='yellow')}  {exposure.neighbours}")
