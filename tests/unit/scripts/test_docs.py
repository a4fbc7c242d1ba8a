"""The documentation is what the code is: generated pages are fresh, and every command shown exists with its options."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
import yaml

from sandbox.cli.app import COMMANDS, sandbox
from sandbox.config import resolve
from sandbox.config.schema import Spec
from sandbox.images import images_yaml
from tests.support import documented

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What follows a command on its line: another command, a place for the output, or two spaces and words about it.
END = re.compile(r"\s{2,}.*|\s+#.*|\s[|>&].*|\s+\(.*|\s+→.*")


@pytest.mark.parametrize(
    ("script", "page"),
    [("commands-docs", "commands.md"), ("spec-docs", "spec.md"), ("schemas-docs", "schemas.json")],
)
def test_a_generated_page_is_what_its_script_prints(script: str, page: str) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / script)]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert (ROOT / "docs" / page).read_text() == printed, f"scripts/{script} > docs/{page}"


def shown() -> Iterator[tuple[str, str]]:
    """Every line of an indented or fenced block that is a `sandbox` command, with its page."""
    for page in PAGES:
        fenced = False
        for line in page.read_text().splitlines():
            if line.startswith("```"):
                fenced = not fenced
            elif fenced or line.startswith("    "):
                words = line.strip().removeprefix("$ ")
                if re.match(r"sandbox [a-z-]", words) and not words.endswith("]"):
                    yield page.relative_to(ROOT).as_posix(), END.sub("", words)


@pytest.mark.parametrize(("page", "line"), sorted(set(shown())))
def test_every_command_shown_exists(page: str, line: str) -> None:
    command: click.Command = sandbox
    context = click.Context(sandbox, info_name="sandbox")
    words = shlex.split(line.partition(" -- ")[0])[1:]  # what follows is another program's command
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        child = command.get_command(context, words[0])
        if child is None:
            break
        command, words = child, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    assert command is not sandbox, f"{page}: {line}"
    if not isinstance(command, click.Group):
        known = {name for param in command.get_params(context) for name in (*param.opts, *param.secondary_opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= known, f"{page}: {line}"


def files_shown() -> Iterator[tuple[str, str, str]]:
    """Every block or example that is a whole sandbox.yaml or images.yaml: its page, its file's name, and its text."""
    for page in PAGES:
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
            keys = re.findall(r"^(\w+):(?: .*)?$", textwrap.dedent(block), re.MULTILINE)
            if "images" in keys and re.search(r"^ *- ", block, re.MULTILINE) and set(keys) <= {"images", "fields"}:
                yield page.name, "images.yaml", block
            elif keys and set(keys) <= Spec.model_fields.keys():
                yield page.name, "sandbox.yaml", block
    for document in yaml.safe_load_all((ROOT / "scripts" / "spec-examples.yaml").read_text()):
        name = "images.yaml" if isinstance(document.get("images"), list) else "sandbox.yaml"
        yield "spec-examples.yaml", name, yaml.safe_dump(document)


@pytest.mark.parametrize(("page", "name", "text"), list(files_shown()))
def test_every_file_shown_is_valid(page: str, name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "demo" / name
    file.parent.mkdir()
    file.write_text(textwrap.dedent(text))
    if name == "images.yaml":
        assert list(images_yaml.load(file)), page
    else:
        assert resolve.load(file).name, page


def test_every_command_shown_runs_in_a_test() -> None:
    found = {line.strip() for page, line in shown() if page != "docs/commands.md"}
    assert found == {line for line, _ in documented.RUN} | set(documented.ELSEWHERE)
    assert [place for place in documented.ELSEWHERE.values() if not (ROOT / place).is_file()] == []


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="mkdocs-material is for newer releases")
def test_the_site_builds_and_no_link_is_broken(tmp_path: Path) -> None:
    """With --quiet, mkdocs counts no warnings. Pages link to tests for readers of the repository."""
    site = ["--no-strict", "--config-file", str(ROOT / "scripts/site/mkdocs.yml")]
    argv = [sys.executable, "-m", "mkdocs", "build", *site, "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    warnings = [line for line in built.stderr.splitlines() if line.startswith("WARNING")]
    assert (built.returncode, [line for line in warnings if "'../tests/" not in line]) == (0, []), built.stderr
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Your own project" in page
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css)', page)  # nothing is loaded from elsewhere


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/llms.txt"])
def test_links_of_pages_outside_the_site_lead_somewhere(page: str) -> None:
    file = ROOT / page
    links = re.findall(r"]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (file.parent / link).exists()] == []


def test_every_command_has_a_man_page(tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "man"), str(tmp_path)]
    subprocess.run(argv, check=True, timeout=60)
    written = {path.name for path in tmp_path.iterdir()}
    assert {f"sandbox-{name}.1" for name in COMMANDS} | {"sandbox.1"} <= written


def test_every_key_has_a_row_with_an_example() -> None:
    page = (ROOT / "docs" / "spec.md").read_text()
    documents = (Spec.model_json_schema(), images_yaml.schema())
    keys = {key for each in documents for part in (each, *each["$defs"].values()) for key in part.get("properties", ())}
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert keys == {re.split(r"[.\]]+", cells[0].strip("| `"))[-1] for cells in rows}
    assert all(len(cells) == 5 and cells[4].strip(" |") for cells in rows)


@pytest.mark.parametrize(
    ("pages", "most"),
    [("README.md", 650), ("ARCHITECTURE.md", 1300), ("CONTRIBUTING.md", 900), ("docs/*.md", 35_000)],
)
def test_pages_and_words_are_few(pages: str, most: int) -> None:
    texts = [page.read_text(encoding="utf-8") for page in ROOT.glob(pages)]
    assert 0 < len(texts) <= 35
    assert sum(bool(re.search(r"\w", word)) for text in texts for word in text.split()) <= most


def test_recording_of_the_readme_is_small_complete_and_has_no_machine_facts() -> None:
    content = (ROOT / "docs" / "up.svg").read_text()
    assert len(content.encode()) <= 60_000
    picture, svg = ElementTree.fromstring(content), "{http://www.w3.org/2000/svg}"  # noqa: S314  # our own
    gone = {text for group in picture.findall(f"{svg}g[@class]") for text in group}
    staying = [text.text or "" for text in picture.iter(f"{svg}text") if text not in gone]
    assert any(line.startswith("https://hello.demo.sandbox.localhost/") for line in staying)
    assert not re.search(r"/(root|home|Users|tmp)/|failed", content)
    assert not re.search(r"href|url\(|<script|<image", content)  # nothing is loaded from elsewhere


def test_each_row_of_faults_has_a_test_or_a_reason() -> None:
    table = yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text())
    marks = re.compile(r"^@pytest\.mark\.(fault|security)\(([\d, ]+)\)", re.MULTILINE)
    marked = {
        ("faults" if kind == "fault" else kind, int(number))
        for path in (ROOT / "tests").rglob("test_*.py")
        for kind, numbers in marks.findall(path.read_text())
        for number in numbers.split(",")
    }
    rows = {(kind, number) for kind in ("faults", "security") for number in table[kind]}
    assert not marked - rows, "tests name rows that the table does not have"
    assert [(kind, number) for kind, number in sorted(rows - marked) if "reason" not in table[kind][number]] == []
