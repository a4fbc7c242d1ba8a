"""The tools of `sandbox mcp`, asked by the official client in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

mcp = pytest.importorskip("mcp")

from sandbox.mcp import tasks, tool_server  # noqa: E402
from sandbox.mcp.agent_project import Project  # noqa: E402


def tools_of(folder: Path, allow: Collection[str] = ()) -> tool_server.Tools:
    (folder / "sandbox.yaml").write_text("name: shop\n")
    return tool_server.Tools(Project(folder / "sandbox.yaml"), allow)


def ask(tools: tool_server.Tools, *calls: tuple[str, dict[str, Any]]) -> list[tuple[bool, str]]:
    """Call these tools in one session; whether each failed, and its text."""

    async def work() -> list[tuple[bool, str]]:
        async with mcp.Client(tool_server.build(tools)) as client:
            results = [await client.call_tool(name, arguments) for name, arguments in calls]
            return [(bool(result.is_error), result.content[0].text) for result in results]

    return asyncio.run(work())


def call(tools: tool_server.Tools, name: str, **arguments: Any) -> tuple[bool, str]:
    (answer,) = ask(tools, (name, arguments))
    return answer


@pytest.mark.parametrize("allow", [(), ("down",), ("stop",)])
def test_tools_that_remove_are_offered_where_the_user_allows_them(tmp_path: Path, allow: tuple[str, ...]) -> None:
    async def work() -> set[str]:
        async with mcp.Client(tool_server.build(tools_of(tmp_path, allow))) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    always = ["up", "apply", "push", "status", "doctor", "logs", "events", "restart", "run", "request", "open_tasks"]
    assert asyncio.run(work()) == {*always, *allow}


def test_errors_have_their_id_and_fix(tmp_path: Path) -> None:
    failed, text = call(tools_of(tmp_path), "events", workload="web")
    assert failed and "error[not-up]: the sandbox 'shop' is not up\nfix: " in text
    failed, text = call(tools_of(tmp_path), "restart", workload="web")
    assert failed and "error[not-up]" in text and "exit code 2" in text


@pytest.mark.parametrize("workload", ["--all", "a b", "$(id)", "../x", ";id", ""])
def test_names_that_no_workload_has_reach_no_command(tmp_path: Path, workload: str) -> None:
    tools = tools_of(tmp_path)
    failed, text = call(tools, "restart", workload=workload)
    assert failed and "validation error" in text
    assert not tools.tasks


def test_a_host_of_another_domain_gets_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.app.core.Sandbox.hosts", ("shop.example.com",))
    failed, text = call(tools_of(tmp_path), "request", host="evil.example.com")
    assert failed and "evil.example.com is not a host of 'shop'" in text
    assert "shop.example.com" in text


def test_a_command_that_takes_long_goes_on_as_a_task_until_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PROGRAM", ("sh", "-c", "echo began >&2; exec sleep 60"))
    begun, listed, ended, after = ask(
        tools_of(tmp_path),
        ("restart", {"workload": "web", "wait_seconds": 1}),
        ("open_tasks", {}),
        ("open_tasks", {"task": "task-1", "end": True}),
        ("open_tasks", {}),
    )
    assert not begun[0] and 'open_tasks(task="task-1")' in begun[1] and "began" in begun[1]
    assert "task-1 restart web: runs" in listed[1]
    assert ended[0] and after == (False, "none")


def test_a_command_that_prints_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PROGRAM", ("yes", "prompt"))
    failed, text = call(tools_of(tmp_path), "run", workload="web", command=["yes"], timeout_seconds=1)
    assert failed and len(text) < 21_000


def test_too_many_commands_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PROGRAM", ("sh", "-c", "exec sleep 60"))
    monkeypatch.setattr(tool_server, "AT_ONCE", 1)
    _, refused, _ = ask(
        tools_of(tmp_path),
        ("restart", {"workload": "web", "wait_seconds": 1}),
        ("status", {}),
        ("open_tasks", {"task": "task-1", "end": True}),
    )
    assert refused[0] and "too many commands run" in refused[1]
