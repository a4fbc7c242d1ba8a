"""`sandbox up` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, progress_option, spec_options, turn_options


class _Port(click.IntRange):
    """A port, or `auto`."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


PORT = _Port(1, 65535)


@click.command("up")
@spec_options
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="A folder, a git repository (URL#BRANCH:FOLDER) or a bundle file with a sandbox.yaml.",
)
@click.option(
    "--trust", is_flag=True, help="Agree to what a spec that was fetched asks for, and to a bundle's programs."
)
@click.option(
    "--identity", metavar="sha256:…", help="Take only the bundle of this identity, as `bundle save` printed it."
)
@click.option("--https-port", "https_ports", type=PORT, multiple=True, help="Instead of the spec's; auto: free ones.")
@click.option("--registry-port", type=PORT, help="Instead of the spec's; auto: a free one.")
@click.option("--keep", is_flag=True, help="When it fails, keep what this run made.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done; exit 0: nothing, 2: something.")
@click.option("--recreate", multiple=True, metavar="STEP", help="Agree that STEP is made anew, with all that it holds.")
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask before the first change to a cluster that exists, or to a sandbox from another file.",
)
@output_option
@turn_options
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Bring a sandbox up, or repair it; changes nothing when all is well.

    \b
    sandbox up                      the spec in this folder, or a default one
    sandbox up -f demo/sandbox.yaml
    sandbox up --from https://git.example.com/team/demo.git#main:k8s    shows what it asks for, and asks
    sandbox up --from demo.bundle   on a machine without network, too
    sandbox up --https-port auto    443 and 8443 where they are free, else others
    """
    from sandbox.cli import up

    return up.run(ctx, **options)
