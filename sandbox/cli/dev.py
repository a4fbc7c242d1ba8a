"""`sandbox dev`: bring a sandbox up, then bring each change of the project's files into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import begin, lock_options, progress_option, session, spec_options

if TYPE_CHECKING:
    pass

LEFT = "the sandbox stays up: sandbox dev goes on, sandbox down takes it down"


@click.command("dev")
@spec_options
@click.option("--once", is_flag=True, help="Bring everything up to date, wait until it is ready, and exit.")
@click.option("--logs/--no-logs", default=True, help="Show the logs of the project's pods.")
@click.option("--poll", is_flag=True, help="Compare all files periodically, where folders send no events.")
@click.option("--yes", is_flag=True, help="As for `sandbox up`.")
@lock_options
@progress_option
def dev(
    file: Path | None,
    name: str | None,
    *,
    once: bool,
    logs: bool,
    poll: bool,
    yes: bool,
    patience: float,
    progress: str,
) -> None:
    """Run `up`, then build, push, apply and roll out every change of the project's files.

    \b
    sandbox dev             until Ctrl-C, which leaves the sandbox up
    sandbox dev --no-logs   without the pods' logs
    sandbox dev --once      for scripts

    Files with a `sync` rule in images.yaml are copied into running containers instead of built.
    """
    begin("leaving", LEFT)
    from sandbox.app import chosen_spec, context
    from sandbox.app.core import Sandbox
    from sandbox.app.dev.file_watch import FileWatch
    from sandbox.app.dev.loop import DevLoop
    from sandbox.cli import prompts
    from sandbox.cli.dev_output import report_for
    from sandbox.cli.summary import welcome
    from sandbox.system import files

    caller = session(progress, patience)
    file = chosen_spec.file_to_bring_up(file, name)
    prompts.confirm_new(file, name, caller.say, ask=not yes)
    # If the file goes away meanwhile, that is an error: else `up` would make the default sandbox.
    file = context.meant_file(file, name)
    if file and not once:
        files.require_regular(file)  # a pipe can be read once, and would then be an empty spec
    loop = DevLoop(
        choose=lambda: Sandbox(chosen_spec.choose(file, name), session=caller),
        file=file,
        report=report_for(progress),
        agreement=prompts.Asking(caller.say, yes=yes),
        logs=logs,
        watch=FileWatch(polling=poll),
    )
    if once:
        welcome(loop.once().resolved, progress=progress)
    else:
        loop.run(lambda sandbox: welcome(sandbox.resolved, progress=progress))
