"""`sandbox stop`, `pause` and `start`: free the memory of a sandbox that is not needed, or only its processor time."""

from __future__ import annotations

import click

from sandbox.app import chosen_spec
from sandbox.app.core import Sandbox
from sandbox.cli.options import begin, change_options, named_spec_options, output_option, spec_options
from sandbox.cli.summary import Up, welcome


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
    """Pause a sandbox until it is used: no processor time, all memory kept.

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
