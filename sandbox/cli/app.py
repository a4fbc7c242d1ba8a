"""The command line: a table of commands, imported only when called, around which errors become exit codes."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from sandbox import __version__
from sandbox.cli import output


class Group(click.Group):
    """A group that shows its commands in their order, with the whole first paragraph of each one's help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_paragraph(command.help or "")) for name, command in self.commands.items()])


class LazyCommand(NamedTuple):
    """A command at `place`, MODULE:FUNCTION in `sandbox.cli`."""

    place: str
    summary: str


class Lazy(Group):
    """The group of all COMMANDS, which are imported only when called."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Click lists these, and suggests them for a mistyped one.
        self.commands = {name: click.Command(name, help=command.summary) for name, command in COMMANDS.items()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, section in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, command.summary) for name, command in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing their commands; then options."""
        found = [name for name in COMMANDS if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name].summary) for name in found]
        return items or super().shell_complete(ctx, incomplete)


def first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


# A command is imported when it is called; help and completion show only its summary, the first paragraph of its help.
SECTIONS = {
    "A sandbox": {
        "up": LazyCommand("up:up", "Create a sandbox, or repair it; change nothing if all is well."),
        "down": LazyCommand("sandboxes:down", "Remove a sandbox: containers, network, volumes, kubeconfig entries."),
        "start": LazyCommand("sandboxes:start", "Start a stopped sandbox, and wait until its hosts respond."),
        "stop": LazyCommand("sandboxes:stop", "Stop a sandbox's containers; keep all data."),
        "pause": LazyCommand("sandboxes:pause", "Pause a sandbox until it is used; keep all memory."),
        "status": LazyCommand("sandboxes:status", "Show every component's state; exit code 1 unless all are ready."),
        "list": LazyCommand("listing:list_", "List the sandboxes of this machine."),
        "snapshot": LazyCommand("snapshot:snapshot", "Save a sandbox with all its data, and restore it."),
    },
    "Your project": {
        "init": LazyCommand("init:init", "Write a sandbox.yaml for the files in this folder; never overwrite a file."),
        "dev": LazyCommand("dev:dev", "Run `up`, then build, push and apply every change of the project's files."),
        "logs": LazyCommand("workloads:logs", "Show the logs of the project's pods, or of one workload."),
        "exec": LazyCommand("workloads:execute", "Run COMMAND (default: a shell) in the newest pod of WORKLOAD."),
        "restart": LazyCommand("workloads:restart", "Replace the pods of WORKLOAD; wait until the new ones are ready."),
        "open": LazyCommand("edge:open_page", "Open the page of HOST, by default the sandbox's first host."),
        "push-images": LazyCommand("push_images:push_images", "Push MANIFEST's images; send only missing layers."),
        "images": LazyCommand("images:images", "List and clean up the registry's images and unused node images."),
        "config": LazyCommand("config:config", "Check and explain sandbox.yaml and images.yaml; change nothing."),
        "export": LazyCommand("bundle:export", "Write a sandbox to a folder that recreates it elsewhere."),
    },
    "Cluster and machine": {
        "addons": LazyCommand("addons:addons", "List, enable and disable cluster addons such as metrics-server."),
        "certs": LazyCommand("certs:certs", "Show, renew, export and trust the sandbox's certificates."),
        "credentials": LazyCommand("credentials:credentials", "Give pods your accounts at other registries."),
        "kubeconfig": LazyCommand("access:kubeconfig", "Print a kubeconfig for this sandbox only, for 8 hours."),
        "edge": LazyCommand("edge:edge", "Show edge routes; add or remove routes to servers outside the cluster."),
        "hosts": LazyCommand("host_names:hosts", "Let this machine resolve the hosts of a sandbox, in its hosts file."),
        "bundle": LazyCommand("bundle:bundle", "Build system images and tools, and save them to one file."),
    },
    "Find out": {
        "doctor": LazyCommand("doctor:doctor", "Find problems and suggest fixes; exit code 1 if there is a problem."),
        "explain": LazyCommand("explain:explain", "Explain an error by its id; without an id, list all."),
        "mcp": LazyCommand("access:mcp", "Serve tools for a coding agent by the Model Context Protocol."),
        "dashboard": LazyCommand("access:dashboard", "Serve a live page of all sandboxes, until Ctrl-C."),
        "completion": LazyCommand("completion:completion", "Print the script that lets a shell complete commands."),
    },
}
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sandbox")
@click.option("-v", "--verbose", is_flag=True, help="Show the programs that run, on stderr.")
@click.pass_context
def sandbox(ctx: click.Context, *, verbose: bool) -> None:
    """A real Kubernetes cluster with its own registry, certificates and HTTPS, on this machine, in one command."""
    ctx.obj = verbose
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def main(arguments: Sequence[str] | None = None) -> None:
    output.prepare()
    # Pydantic would search all installed packages for plugins, which takes longer than `list`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = sandbox.main(words, prog_name="sandbox", standalone_mode=False)
    except BaseException as error:
        from sandbox.cli.error_handler import report

        code = report(error, words)
    output.flush()
    os._exit(code if isinstance(code, int) else 0)  # threads may still hang in a call to the engine
