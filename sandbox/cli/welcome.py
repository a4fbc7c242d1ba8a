"""The last words of `sandbox up`: where to go and what to type next."""

from __future__ import annotations

import click

from sandbox.certs.keystore import Keystore
from sandbox.cluster import kubeconfig
from sandbox.cluster.api import Cluster
from sandbox.ingress.page import hosts_of
from sandbox.names import Home
from sandbox.spec import Settled
from sandbox.steps.lan import access, urls, warning


def welcome(spec: Settled, home: Home) -> None:
    """Print the sandbox's addresses on stdout."""
    names = home.sandbox(spec.name)
    hosts = hosts_of(Cluster(names.kubeconfig).list("networking.k8s.io/v1", "Ingress", spec.namespace))
    ports = ["" if port == 443 else f":{port}" for port in spec.proxy.ports]
    for host in hosts or (spec.domain,):
        click.echo(f"https://{host}{ports[0]}/" + "".join(f"   and {port}" for port in ports[1:]))
    click.echo(f"registry    {spec.registry.external or f'localhost:{spec.registry.port}'}   (sandbox push-images)")
    merged = kubeconfig.holds(home.kubeconfig, names.cluster, names.kubeconfig)
    click.echo(f"kubectl     --context {names.cluster}" if merged else f"kubectl     --kubeconfig {names.kubeconfig}")
    click.echo(f"trust       {names.root_certificate}")
    click.echo(f"try         curl --cacert {names.root_certificate} https://{(hosts or (spec.domain,))[0]}{ports[0]}/")
    found = access(spec, Keystore(names.keys))
    if found.open:
        click.echo(f"{click.style('network', fg='yellow')}     {warning(found, spec)}")
        for url in urls(found, spec, hosts or (spec.domain,)):
            click.echo(f"            {url}")
