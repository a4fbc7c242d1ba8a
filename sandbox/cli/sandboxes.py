"""`sandbox down`, `start`, `stop`, `pause` and `status`: what becomes of a sandbox, and how it is."""

from collections.abc import Iterator

import click

from sandbox.app import chosen_spec
from sandbox.app.core import Sandbox
from sandbox.app.views import known_sandboxes, overview
from sandbox.app.views.overview import SandboxStatus
from sandbox.cli import prompts
from sandbox.cli.options import begin, call, change_options, named_spec_options, output_option, spec_options
from sandbox.cli.up import Up, welcome
from sandbox.errors import UsageError
from sandbox.sanitize import fit

MARKS = {
    "ready": ("✓", "green"),
    "drifted": ("!", "yellow"),
    "stale": ("!", "red"),
    "absent": ("·", "white"),
    "unseen": ("·", "white"),
}
WIDTH = 40  # of the first column, unless one of its names is longer


@click.command("down")
@named_spec_options
@click.option("--purge", is_flag=True, help="Remove the registry's data and the certificates too.")
@click.option("--gone", is_flag=True, help="Remove all sandboxes whose folder does not exist any more.")
@change_options("Do not ask about a sandbox of another file, or with --gone.")
def down(*, purge: bool, gone: bool) -> None:
    """Remove a sandbox: containers, network, volumes, kubeconfig entries.

    The registry's data and the certificates stay for the next `up`, unless you give --purge. What pods have stored in
    their volumes is lost; `sandbox stop` keeps it.

    \b
    sandbox down
    sandbox down demo --purge
    """
    if gone:
        _remove_gone(purge=purge)
        return
    name = call().name
    again = " ".join(("sandbox down", *((name,) if name else ()), *(("--purge",) if purge else ())))
    sandbox = begin("stopping", f"interrupted; run `{again}` again to remove the rest").sandbox()
    if not sandbox.down(purge=purge):
        sandbox.session.say(f"'{sandbox.name}' has nothing to remove; list all with: sandbox list")
    elif not purge:
        sandbox.session.say(f"kept: {sandbox.lasting} (remove them with --purge)")


def _remove_gone(*, purge: bool) -> None:
    call = begin("stopping", "interrupted; run `sandbox down --gone` again to remove the rest")
    if call.file or call.name:
        raise UsageError("--gone is for all sandboxes whose folder is gone", fix="leave -f and NAME out")
    gone = [sandbox for sandbox in known_sandboxes.sandboxes() if sandbox.gone]
    if not gone:
        call.say("the folders of all sandboxes are there")
    elif not call.yes:
        shown = (f"{sandbox.name}  {sandbox.folder}" for sandbox in gone)
        prompts.agree("these sandboxes would be removed, with all data of their pods", shown)
    for sandbox in gone:
        Sandbox(chosen_spec.choose(None, sandbox.name), session=call.session).down(purge=purge)


@click.command("start")
@named_spec_options
@output_option(Up)
@change_options("Do not ask about a sandbox of another file, or a cluster that is lost.")
def start() -> None:
    """Start a stopped sandbox, and wait until its hosts respond.

    It needs no files: the sandbox contains what `up` applied and pushed. To apply changes of your files, use
    `sandbox up`, which also starts a stopped sandbox.

    \b
    sandbox start
    sandbox start demo
    """
    call = begin("stopping", "run `sandbox start` again to continue")
    sandbox = call.sandbox()
    sandbox.start()
    welcome(sandbox.resolved, call)


@click.command("stop")
@named_spec_options
@change_options()
def stop() -> None:
    """Stop a sandbox's containers; keep all data.

    It then uses no processor time and no memory, and stays stopped when the engine or the machine restarts, until
    `sandbox start` or `sandbox up`. Other sandboxes keep running.

    \b
    sandbox stop
    sandbox stop demo
    """
    sandbox = begin("stopping", "run `sandbox stop` again to stop the rest, or `sandbox start`").sandbox()
    if not sandbox.stop():
        _note_idle(sandbox)
    sandbox.session.say(f"start it again with: sandbox start {sandbox.name}")


@click.command("pause")
@spec_options
@change_options()
def pause() -> None:
    """Pause a sandbox until it is used; keep all memory.

    The next client of its hosts, kubectl and every command of sandbox wake it, within a second. With `pause_after: 30m`
    in sandbox.yaml it is paused automatically after that time without a client.

    \b
    sandbox pause
    sandbox pause -n demo
    """
    sandbox = begin("stopping", "the sandbox is not paused; run `sandbox pause` again").sandbox()
    if sandbox.pause():
        sandbox.session.say(f"it wakes when it is used, or by: sandbox start {sandbox.name}")
    else:
        _note_idle(sandbox)


def _note_idle(sandbox: Sandbox) -> None:
    if chosen_spec.remembered(sandbox.name) is None:
        raise chosen_spec.unknown(sandbox.name)
    sandbox.session.say(f"sandbox '{sandbox.name}' was not running")


@click.command("status")
@named_spec_options
@output_option(SandboxStatus)
def status() -> int:
    """Show every component's state; exit code 1 unless all are ready.

    A Service is listed, with where it is reached, if it has a port of this machine or an address as a load balancer.

    \b
    sandbox status
    sandbox status demo -o json
    """
    call = begin()
    sandbox = call.sandbox()
    state = overview.status(sandbox)
    call.show(state, _lines(state))
    if call.output == "text" and not state.exists:
        click.echo(f"'{sandbox.name}' is not up; create it with: sandbox up; list all with: sandbox list", err=True)
    return 0 if state.is_ready else 1


def _lines(status: SandboxStatus) -> Iterator[str]:
    titles = (*(step.title for step in status.steps), *(service.service for service in status.services))
    width = max(WIDTH, *map(len, titles))
    for step in status.steps:
        mark, color = MARKS[step.state]
        word = "stopped" if step.state == "drifted" and step.detail.startswith("stopped") else step.state
        detail = "" if step.detail == word else step.detail
        yield f"{click.style(mark, fg=color)} {fit(f'{step.title:<{width}} {word:<8} {detail}')}".rstrip()
    for service in status.services:
        places = ", ".join(service.places) or "no address yet"
        mark = click.style("→", fg="green" if service.places else "yellow")
        yield f"{mark} {fit(f'{service.service:<{width}} {places}, by pods as {service.name}')}"
    if status.network.open:
        yield f"{click.style('!', fg='yellow')} " + ", ".join((status.network.warning, *status.network.urls))
