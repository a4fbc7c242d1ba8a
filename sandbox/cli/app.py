"""The command line: a table of commands, imported only when called, around which errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from sandbox import __version__
from sandbox.cli import deferred_metadata, output
from sandbox.cli.groups import FORMS, Lazy
from sandbox.errors import SandboxError

# The module of this package and the function in it, by command.
COMMANDS = {
    "up": "up:up",
    "dev": "dev:dev",
    "init": "init:init",
    "down": "down:down",
    "config": "config:config",
    "stop": "start:stop",
    "pause": "start:pause",
    "start": "start:start",
    "upgrade": "upgrade:upgrade",
    "snapshot": "snapshot:snapshot",
    "status": "status:status",
    "list": "status:list_",
    "dashboard": "dashboard:dashboard",
    "doctor": "doctor:doctor",
    "logs": "logs:logs",
    "explain": "explain:explain",
    "push-images": "push_images:push_images",
    "registry": "registry:registry",
    "certs": "certs:certs",
    "names": "host_names:names",
    "addons": "addons:addons",
    "edge": "edge:edge",
    "credentials": "credentials:credentials",
    "export": "export:export",
    "completion": "completion:completion",
    "bundle": "bundle:bundle",
    "images": "images:images",
}
ALIASES = {"proxy": "edge", "open": "dashboard"}
# What kind, minikube, k3d, docker compose, Skaffold, Tilt and others call it.
ELSEWHERE = {
    **dict.fromkeys(("watch", "debug"), "sandbox dev"),
    **dict.fromkeys(("import-db", "mysql", "psql"), "kubectl exec -i deploy/db -- PROGRAM"),
    **dict.fromkeys(("cluster", "create", "deploy", "apply", "run"), "sandbox up"),
    **dict.fromkeys(("clean", "delete", "destroy", "remove", "rm"), "sandbox down"),
    **dict.fromkeys(("poweroff", "halt"), "sandbox stop"),
    "restart": "sandbox stop; sandbox start",
    **dict.fromkeys(("ls", "get"), "sandbox list"),
    **dict.fromkeys(("ps", "describe"), "sandbox status"),
    **dict.fromkeys(("build", "image", "load", "push"), "sandbox push-images"),
    **dict.fromkeys(("url", "launch", "service"), "sandbox edge url"),
    **dict.fromkeys(("expose", "port-forward", "tunnel"), "sandbox edge port add"),
    **dict.fromkeys(("exec", "ssh", "shell"), "kubectl exec -it deploy/PROGRAM -- sh"),
    "kubectl": "kubectl --context sandbox-NAME",
    "validate": "sandbox config validate",
    "trust": "sandbox certs trust",
    "help": "sandbox --help",
    "version": "sandbox --version",
}

# Commands that take seconds, and whose imports take so long that users would wonder whether they run.
PATIENT = {"up", "dev", "down", "start", "stop", "pause", "push-images", "snapshot", "upgrade"}
SIGN = "looking…\r"  # shorter than any line that is written over it


class _Root(Lazy):
    """The whole command line; an error is also reported to programs, in the form they asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if not output.is_unread(sys.stdout):
                raise
            ctx.exit(0)  # as `head` closes its end early
        except (click.exceptions.Exit, click.exceptions.Abort, click.ClickException):
            raise
        except Exception as error:
            from sandbox.cli.error_handler import logged, tell_programs, understood

            found = understood(error) or logged(error)
            if isinstance(found, SandboxError) and tell_programs(found, ctx.meta.get(FORMS, {})):
                ctx.exit(found.exit_code)
            if found is error:
                raise
            raise found from error


@click.group(
    cls=_Root,
    table=COMMANDS,
    aliases=ALIASES,
    elsewhere=ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="sandbox")
@click.option("-v", "--verbose", is_flag=True, help="Show the programs that run, on stderr.")
@click.pass_context
def sandbox(ctx: click.Context, *, verbose: bool) -> None:
    """A real Kubernetes cluster with its own registry, certificates and HTTPS, on this machine, in one command."""
    ctx.obj = verbose
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    output.prepare()
    # Pydantic's plugins: there are none for our models, and searching all installed packages for some takes longer than
    # `list`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    deferred_metadata.defer()
    words = sys.argv[1:] if arguments is None else arguments
    if (
        PATIENT.intersection(words[:1])
        and output.is_lively(sys.stderr)
        and not {"-h", "--help", "-q", "--quiet", "quiet"}.intersection(words)
    ):
        sys.stderr.write(SIGN)
        sys.stderr.flush()
    try:
        code = sandbox.main(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        from sandbox.cli.error_handler import report_usage

        code = report_usage(error, words)
    except SystemExit as end:  # how click ends a completion
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        from sandbox.cli.error_handler import report

        code = report(error)
    _leave(code if isinstance(code, int) else 0)


def _leave(code: int) -> None:
    """Exit without waiting for threads that may still hang in a call to the engine."""
    output.flush()
    os._exit(code)
