"""`sandbox mcp`: serves tools for coding agents."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sandbox.cli.options import begin, spec_options

# Tools that are offered, and specs that are accepted, only where the user allows them.
ALLOWED = ("down", "stop", "outside-files")


@click.command("mcp")
@spec_options
@click.option(
    "--allow",
    type=click.Choice(ALLOWED),
    multiple=True,
    help="Also offer what removes or stops the sandbox, or allow files outside of the project.",
)
def mcp(*, allow: Sequence[str]) -> None:
    """Serve tools for a coding agent on stdin and stdout (Model Context Protocol), for one sandbox.

    The agent can bring the sandbox up, apply changes, read logs and events, run commands in pods and send requests. It
    gets no values of Secrets, no other sandbox, and nothing that deletes data unless you allow it.

    \b
    sandbox mcp
    sandbox mcp -f k8s/sandbox.yaml --allow down
    """
    call = begin()
    from sandbox.app.context import default_file
    from sandbox.components.credentials.cloud_sdk import install_command
    from sandbox.errors import MissingTool, UsageError

    spec = call.file or default_file()
    if spec is None:
        raise UsageError("there is no sandbox.yaml here", fix="sandbox init, or name one: sandbox mcp -f FILE")
    try:
        from sandbox.mcp import agent_project, tool_server
    except ImportError as error:
        raise MissingTool(
            "the library of the Model Context Protocol is not installed", details=str(error), fix=install_command("mcp")
        ) from None
    tool_server.serve(agent_project.Project(spec.resolve(), call.name), allow)
