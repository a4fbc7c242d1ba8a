"""`sandbox doctor` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli import complete
from sandbox.cli.options import output_option, spec_options


class _WithDefault(click.Group):
    """A group that takes what is no subcommand for the arguments of `machine`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["machine", *args]
        return super().parse_args(ctx, args)


@click.group("doctor", cls=_WithDefault)
def command() -> None:
    """Look at what a sandbox needs, say what is wrong and how to mend it; exit code 1 when something is.

    \b
    sandbox doctor                  what the sandbox in this folder needs
    sandbox doctor demo -o json     what the sandbox demo needs, for programs
    sandbox doctor --fix            mend what can be mended safely
    sandbox doctor tls app.demo.sandbox.localhost
                                    the way of a request, step by step
    sandbox doctor network          the way out of the cluster, from a pod
    """


@command.command("machine")
@spec_options
@output_option
@click.option("--fix", is_flag=True, help="Mend what can be mended safely: modes of files, limits, leftovers of ours.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=3, help="How long to wait for slow answers.  [default: 3]"
)
@click.pass_context
def machine(ctx: click.Context, /, **options: Any) -> Any:
    """Look at the engine, the machine and the sandbox's parts; the default. Takes three seconds at most.

    \b
    sandbox doctor machine
    """
    from sandbox.cli import doctor

    return doctor.machine(ctx, **options)


@command.command("tls")
@click.argument("host", shell_complete=complete.hosts)
@spec_options
@output_option
@click.pass_context
def tls(ctx: click.Context, /, **options: Any) -> Any:
    """Follow a request to https://HOST (a name, with :PORT if need be) and stop at the first step that fails.

    \b
    sandbox doctor tls app.demo.sandbox.localhost
    sandbox doctor tls app.demo.sandbox.localhost:8443 demo
    """
    from sandbox.cli import doctor

    return doctor.tls(ctx, **options)


@command.command("network")
@spec_options
@output_option
@click.option("--to", metavar="HOST[:PORT]", help="Where to.  [default: registry.k8s.io:443]")
@click.pass_context
def network(ctx: click.Context, /, **options: Any) -> Any:
    """Follow the way out of the cluster from a pod, which is gone afterwards: names, this machine, TCP, TLS.

    \b
    sandbox doctor network
    sandbox doctor network demo --to git.example.com:8443
    """
    from sandbox.cli import doctor

    return doctor.network(ctx, **options)
