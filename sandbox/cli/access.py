"""`sandbox dashboard`, `mcp` and `kubeconfig`: what gives a browser, an agent or a program access to sandboxes."""

from collections.abc import Sequence

import click

from sandbox.app import chosen_spec
from sandbox.app.context import default_file
from sandbox.app.running import cluster_access
from sandbox.cli.options import begin, spec_options
from sandbox.components.credentials.registry_login import install_command
from sandbox.errors import MissingTool, UsageError

# Tools that are offered, and specs that are accepted, only where the user allows them.
ALLOWED = ("down", "stop", "outside-files")


@click.command("dashboard")
@spec_options
@click.option("--port", type=click.IntRange(1, 65535), help="The port of the page.  [default: a free one]")
def dashboard(*, port: int | None) -> None:
    """Serve a live page of all sandboxes, until Ctrl-C.

    The page is on 127.0.0.1; open the printed address, which has its token. It shows pods' logs and restarts workloads.
    Steps are those of the sandbox whose spec you give or that is in this folder.

    \b
    sandbox dashboard
    """
    from sandbox.dashboard import page

    server = page.server(begin().sandbox(), port=port or 0)
    click.echo(server.url)
    server.serve()


@click.command("mcp")
@spec_options
@click.option(
    "--allow",
    type=click.Choice(ALLOWED),
    multiple=True,
    help="Also offer what removes or stops the sandbox, or allow files outside of the project.",
)
def mcp(*, allow: Sequence[str]) -> None:
    """Serve tools for a coding agent by the Model Context Protocol.

    It serves one sandbox, on stdin and stdout. The agent can bring the sandbox up, apply changes, read logs and events,
    run commands in pods and send requests. It gets no values of Secrets, no other sandbox, and nothing that deletes
    data unless you allow it.

    \b
    sandbox mcp
    sandbox mcp -f k8s/sandbox.yaml --allow down
    """
    call = begin()
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


@click.command("kubeconfig")
@spec_options
@click.option("--read-only", is_flag=True, help="May read everything but Secrets, and change nothing.")
@click.option("--namespace", metavar="NAMESPACE", help="Only in this namespace.  [default: all]")
def kubeconfig(*, read_only: bool, namespace: str | None) -> None:
    """Print a kubeconfig for this sandbox only, for 8 hours.

    Give it to a program that must not see the other clusters in your kubeconfig. Without --read-only the account may
    change everything except roles, quotas and nodes (the role `edit` of Kubernetes).

    \b
    sandbox kubeconfig --read-only > agent.kubeconfig
    sandbox kubeconfig --namespace shop
    """
    call = begin()
    spec = chosen_spec.brought_up(call.spec().name)
    names, _, _ = call.running()
    click.echo(cluster_access.make(names, spec, read_only=read_only, namespace=namespace), nl=False)
