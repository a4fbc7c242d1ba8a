"""`sandbox dev`: bring a sandbox up, then bring each change of the project's files into it."""

from __future__ import annotations

import click

from sandbox.app import chosen_spec, context
from sandbox.app.core import Sandbox
from sandbox.app.dev.file_watch import FileWatch
from sandbox.app.dev.loop import DevLoop
from sandbox.cli import prompts
from sandbox.cli.dev_output import DevOutput
from sandbox.cli.options import begin, change_options, spec_options
from sandbox.cli.up import welcome
from sandbox.system import files

LEFT = "the sandbox stays up: sandbox dev goes on, sandbox down takes it down"


@click.command("dev")
@spec_options
@click.option("--once", is_flag=True, help="Bring everything up to date, wait until it is ready, and exit.")
@click.option("--logs/--no-logs", default=True, help="Show the logs of the project's pods.")
@click.option("--poll", is_flag=True, help="Compare all files periodically, where folders send no events.")
@change_options("As for `sandbox up`.")
def dev(*, once: bool, logs: bool, poll: bool) -> None:
    """Run `up`, then build, push, apply and roll out every change of the project's files.

    \b
    sandbox dev             until Ctrl-C, which leaves the sandbox up
    sandbox dev --no-logs   without the pods' logs
    sandbox dev --once      for scripts

    Files with a `sync` rule in images.yaml are copied into running containers instead of built.
    """
    call = begin("leaving", LEFT)
    file = chosen_spec.file_to_bring_up(call.file, call.name)
    if file is None and call.name is None:
        prompts.note_project(call.say)
    # If the file goes away meanwhile, that is an error: else `up` would make the default sandbox.
    file = context.meant_file(file, call.name)
    if file and not once:
        files.require_regular(file)  # a pipe can be read once, and would then be an empty spec
    agreement = prompts.Asking(yes=bool(call.yes))

    def choose() -> Sandbox:
        return Sandbox(chosen_spec.choose(file, call.name, may_rename=True), session=call.session, agreement=agreement)

    loop = DevLoop(
        choose=choose,
        file=file,
        report=DevOutput(call.progress),
        logs=logs,
        watch=FileWatch(polling=poll),
    )
    if once:
        welcome(loop.once().resolved, call)
    else:
        loop.run(lambda sandbox: welcome(sandbox.resolved, call))
