"""The last words of `sandbox up`: where to go and what to type next."""

from __future__ import annotations

import json

import click

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import kubeconfig
from sandbox.components.edge.lan_access import access, reachable, urls, warning
from sandbox.components.ingress.default_backend import hosts_of
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.names import Home


def welcome(spec: ResolvedSpec, home: Home, output: str = "text") -> None:
    """Print the sandbox's addresses on stdout, for people, or for programs as `output` json."""
    names = home.sandbox(spec.name)
    hosts = hosts_of(Cluster(names.kubeconfig).list("networking.k8s.io/v1", "Ingress", spec.namespace)) or (
        spec.domain,
    )
    ports = ["" if port == 443 else f":{port}" for port in spec.proxy.ports]
    merged = kubeconfig.holds(home.kubeconfig, names.cluster, names.kubeconfig)
    found = access(spec, Keystore(names.keys))
    outside = tuple(urls(found, spec, hosts)) if found.open else ()
    # An existing cluster's ports are those of processes of this machine.
    exposed = reachable(spec, Engine.connect().facts()) if spec.cluster.is_ours else ""
    if output == "json":
        said = {
            "name": spec.name,
            "urls": [f"https://{host}{port}/" for host in hosts for port in ports],
            "network_urls": outside,
            "neighbours": exposed,
            "registry": spec.registry.address,
            "context": names.cluster if merged else None,
            "kubeconfig": str(names.kubeconfig),
            "root_certificate": str(names.root_certificate),
        }
        click.echo(json.dumps(said, indent=2))
        return
    for host in hosts:
        click.echo(f"https://{host}{ports[0]}/" + "".join(f"   and {port}" for port in ports[1:]))
    click.echo(f"registry    {spec.registry.address}   (sandbox push-images)")
    click.echo(f"kubectl     --context {names.cluster}" if merged else f"kubectl     --kubeconfig {names.kubeconfig}")
    click.echo(f"trust       {names.root_certificate}")
    click.echo(f"try         curl --cacert {names.root_certificate} https://{hosts[0]}{ports[0]}/")
    if found.open:
        click.echo(f"{click.style('network', fg='yellow')}     {warning(found, spec)}")
        for url in outside:
            click.echo(f"            {url}")
    if exposed:
        click.echo(f"{click.style('neighbours', fg='yellow')}  {exposed}")
