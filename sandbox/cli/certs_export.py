"""`sandbox certs export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sandbox.cli import command_context
from sandbox.cli.options import find_spec
from sandbox.components.certificates.export_formats import FORMATS, public_roots
from sandbox.components.certificates.keystore import Keystore
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

BINARY = "p12"
STDOUT = ("-", "/dev/stdout")  # the second may be a link to a regular file, and is not to be replaced by one


def run(ctx: click.Context, file: Path | None, name: str | None, *, form: str, out: Path) -> int:
    """Write the root for programs that read no trust store of the system. Never writes a key."""
    command_context.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    root = Keystore(command_context.home().sandbox(spec.name).keys).root
    if not root.has_cert:
        raise SandboxError(f"{spec.name} has no certificates yet", fix="sandbox up makes them", id="authority")
    to_stdout = str(out) in STDOUT
    if form == BINARY and to_stdout and sys.stdout.isatty():
        raise UsageError("a truststore is no text for a terminal", fix="give --out a file")
    data = FORMATS[form](root.read().cert_pem, b"" if form == "pem" else public_roots())
    if to_stdout:
        sys.stdout.buffer.write(data)
    else:
        files.require_regular(out)
        # A link is followed: the user named what it leads to, and it may be one of the system's, such as /dev/stderr.
        files.write_atomic(out.resolve(), data, mode=0o644)
    return 0
