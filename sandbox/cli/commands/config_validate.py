"""`sandbox config validate` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import spec_options


@click.command("validate")
@spec_options
def command(**options: Any) -> Any:
    """Say whether the spec, its images and its manifests can be used.

    Exit code 2 when not, with file, line and key. Needs neither an engine nor a cluster.

    \b
    sandbox config validate
    sandbox config validate -f demo/sandbox.yaml
    """
    from sandbox.cli import config_validate

    return config_validate.run(**options)
