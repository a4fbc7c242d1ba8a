"""`sandbox certs export` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.options import spec_options


@click.command("export")
@spec_options
@click.option("--format", "form", type=click.Choice(["pem", "bundle", "p12"]), required=True, help="See above.")
@click.option("--out", type=click.Path(path_type=Path, allow_dash=True), required=True, help="A file; - is stdout.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Write the root for programs that read no trust store of the system. Never writes a key.

    \b
    pem     the root alone, for what adds it to the authorities it knows:
              curl --cacert root.pem ...
              NODE_EXTRA_CA_CERTS=root.pem node ...
    bundle  the root and the public authorities, for what replaces its own:
              SSL_CERT_FILE=bundle.pem REQUESTS_CA_BUNDLE=bundle.pem python ...
    p12     the same as a truststore for Java, password changeit; Java reads it as type JKS as well:
              java -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit ...

    \b
    sandbox certs export --format pem --out root.pem
    sandbox certs export demo --format p12 --out trust.p12
    """
    from sandbox.cli import certs_export

    return certs_export.run(ctx, **options)
