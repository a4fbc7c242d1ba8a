"""The command line: a table of commands, imported only when called, around which errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from sandbox import __version__
from sandbox.cli import streams
from sandbox.cli.lazy import FORMS, Lazy
from sandbox.errors import SandboxError

COMMANDS = {
    "up": "Bring a sandbox up, or repair it; changes nothing when all is well.",
    "init": "Write a commented sandbox.yaml for this folder, from what it has; never overwrites anything.",
    "down": "Take a sandbox down: its containers, network, volumes and kubeconfig entries, and nothing else.",
    "config": "Check and explain sandbox.yaml and images.yaml; touches nothing.",
    "stop": "Let a sandbox rest: it uses no processor time and no memory, and keeps everything it holds.",
    "start": "Start a stopped sandbox as it was last brought up; ready when its hosts are answered.",
    "snapshot": "Keep a sandbox with all it holds, and bring it back.",
    "status": "Show how every part of a sandbox stands; exit code 1 unless all is ready.",
    "list": "List the sandboxes of this machine.",
    "dashboard": "Show every sandbox on a page of this machine, live and read only, until Ctrl-C.",
    "doctor": "Look at what a sandbox needs, say what is wrong and how to mend it; exit code 1 when something is.",
    "logs": "Gather logs, states and settings in one archive for a report, without secrets; "
    "works on a broken sandbox too.",
    "explain": "Say what an error means and what helps, by the id in its first line; without one, list them.",
    "push-images": "Push the images of MANIFEST (by default the spec's `push`) into the registry; "
    "only what is missing crosses.",
    "registry": "Show what the registry holds, and take back the space of what nothing names.",
    "certs": "Show, renew and export the sandbox's certificates, and let this machine trust them.",
    "addons": "List, enable and disable what else the cluster has, such as metrics-server.",
    "proxy": "Show what the proxy leads where, and add or remove hosts that lead out of the cluster.",
    "credentials": "Give pods your accounts at other registries (docker, gcr, ecr, acr), and renew them in time.",
    "export": "Write a sandbox as a folder that brings the same one up elsewhere.",
    "completion": "Print the script that lets a shell complete commands, options and names.",
    "bundle": "The sandbox's own images and tools: build them, carry them as one file to machines without network.",
}


TABLE = {name: (f"{name.replace('-', '_')}:command", summary) for name, summary in COMMANDS.items()}

# Those that work for seconds; what they are made of takes longer to import than a person waits without a doubt.
PATIENT = {"up", "down", "start", "stop", "push-images", "snapshot"}
SIGN = "looking…\r"  # shorter than any line that is written over it


class _Root(Lazy):
    """The whole command line: programs, too, are told what failed, in the form they asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SandboxError as error:
            from sandbox.cli.error_handler import tell_programs

            if tell_programs(error, ctx.meta.get(FORMS, {})):
                ctx.exit(error.exit_code)
            raise


@click.group(cls=_Root, table=TABLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sandbox")
@click.option("-v", "--verbose", is_flag=True, help="Show on stderr what is run.")
@click.pass_context
def sandbox(ctx: click.Context, *, verbose: bool) -> None:
    """A real Kubernetes cluster with its own registry, certificates and HTTPS, on this machine, in one command."""
    ctx.obj = verbose
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    streams.prepare()
    words = sys.argv[1:] if arguments is None else arguments
    if (
        PATIENT.intersection(words[:1])
        and streams.is_lively(sys.stderr)
        and not {"-h", "--help", "-q", "--quiet", "quiet"}.intersection(words)
    ):
        sys.stderr.write(SIGN)
        sys.stderr.flush()
    try:
        code = sandbox.main(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BaseException as error:
        from sandbox.cli.error_handler import report

        code = report(error)
    _leave(code if isinstance(code, int) else 0)


def _leave(code: int) -> None:
    """Exit without waiting for threads that may still hang in a call of the engine."""
    streams.flush()
    os._exit(code)
