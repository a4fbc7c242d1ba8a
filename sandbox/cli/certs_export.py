"""`sandbox certs export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sandbox.certs.export import FORMATS, public_roots
from sandbox.certs.keystore import Keystore
from sandbox.cli import environment
from sandbox.cli.options import find_spec, spec_options
from sandbox.errors import SandboxError, UsageError
from sandbox.host import files

BINARY = "p12"


@click.command("export")
@spec_options
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="See above.")
@click.option("--out", type=click.Path(path_type=Path, allow_dash=True), required=True, help="A file; - is stdout.")
@click.pass_context
def command(ctx: click.Context, file: Path | None, name: str | None, *, form: str, out: Path) -> int:
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
    environment.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    root = Keystore(environment.home().sandbox(spec.name).keys).root
    if not root.has_cert:
        raise SandboxError(f"{spec.name} has no certificates yet", fix="sandbox up makes them", id="authority")
    if form == BINARY and str(out) == "-" and sys.stdout.isatty():
        raise UsageError("a truststore is no text for a terminal", fix="give --out a file")
    data = FORMATS[form](root.read().cert_pem, b"" if form == "pem" else public_roots())
    if str(out) == "-":
        sys.stdout.buffer.write(data)
    else:
        files.write_atomic(out, data, mode=0o644)
    return 0
