"""The root enters real trust stores, real clients then accept the sandbox's servers, and it leaves without a trace.

The system's store is this machine's own seen through layers that are thrown away (mount namespace, overlayfs);
databases of browsers and Java's file are made for the purpose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_issuing, make_leaf, make_root
from sandbox.truststore import stores
from sandbox.truststore.trusted_root import Root, parse
from tests.real.machine import Ran, leave_out, need
from tests.support.tls import TlsServer

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(600)]

NAME = "trusting"
DOMAIN = "trusting.sandbox.localhost"
# What Debian's programs write: certificates, links and Java's copy, the package manager's notes of triggers.
LAYERS = ("/etc", "/usr/local", "/var")
MOUNTS = """set -e
mount -t tmpfs tmpfs /mnt
for folder in "$@"; do
  mkdir -p "/mnt$folder.upper" "/mnt$folder.work"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=/mnt$folder.upper,workdir=/mnt$folder.work" "$folder"
done
echo ready
read -r _
"""
JAVA = """
import java.net.URI;
public class Get {
    public static void main(String[] arguments) throws Exception {
        System.out.print(new String(new URI(arguments[0]).toURL().openStream().readAllBytes()));
    }
}
"""


@dataclass
class User:
    """A user with a home folder and a sandbox of whose servers one is running; `prefix` goes before what they run."""

    folder: Path
    server: TlsServer
    prefix: Sequence[str] = ()
    jdk: str = "jdk"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def state(self) -> Path:
        return self.folder / "state" / "sandbox"

    @property
    def root_file(self) -> Path:
        return self.state / "certificates" / NAME / "root.crt"

    @property
    def root(self) -> Root:
        return parse(self.root_file.read_bytes())

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "JAVA_HOME": str(self.home / self.jdk),
        }

    def renew_root(self) -> None:
        now = datetime.now(UTC)
        root = make_root([DOMAIN], now=now)
        leaf = make_leaf(make_issuing(root, [DOMAIN], now=now), [DOMAIN, "localhost", "127.0.0.1"], now=now)
        self.root_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root_file.write_bytes(root.cert_pem)
        self.server.present(leaf)

    def sandbox(self, *arguments: str, status: int = 0) -> Ran:
        """Run `sandbox certs ...`."""
        done = self._run([sys.executable, "-m", "sandbox", "certs", *arguments])
        assert done.returncode == status, done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def accepts(self, *client: str) -> bool:
        done = self._run(client)
        assert done.returncode or "hello" in done.stdout, done.stdout + done.stderr
        return done.returncode == 0

    def output(self, *argv: str) -> str:
        done = self._run(argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, *argv],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    now = datetime.now(UTC)
    root = make_root([DOMAIN], now=now)
    leaf = make_leaf(make_issuing(root, [DOMAIN], now=now), [DOMAIN], now=now)
    (tmp_path / "home").mkdir()
    with TlsServer(leaf, tmp_path) as server:
        made = User(tmp_path, server)
        made.renew_root()
        yield made


@contextmanager
def throw_away_system() -> Iterator[tuple[str, ...]]:
    """This machine, in which whatever is written to its store is gone afterwards; yields what goes before a command."""
    need("unshare", "nsenter", "update-ca-certificates", "curl", "openssl")
    if os.geteuid() != 0:
        leave_out("needs root, for a mount namespace")
    argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", MOUNTS, "mounts", *LAYERS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        try:
            assert keeper.stdout.readline() == "ready\n"
            yield ("nsenter", "--mount", f"--target={keeper.pid}", "--wd=/", "--")
        finally:
            keeper.stdin.close()


SYSTEM_FILES = (
    "cd /etc/ssl/certs && find . -path ./java -prune -o -printf '%p %l %m\\n' | sort && sha256sum ca-certificates.crt"
)
LOCAL_FILES = "find /usr/local/share/ca-certificates | sort"


@pytest.mark.security(2)
def test_debian_store_accepts_curl_and_openssl_and_is_restored(user: User) -> None:
    """`certs trust`, then `untrust` → the system's store is as it was."""
    with throw_away_system() as prefix:
        user.prefix = prefix
        user.output("update-ca-certificates", "--fresh")
        here = Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
        snapshot = ("sh", "-c", f"{SYSTEM_FILES}; {LOCAL_FILES}")
        before = user.output(*snapshot)
        curl = (
            "curl",
            "-sS",
            "--resolve",
            f"{DOMAIN}:{user.server.port}:127.0.0.1",
            f"https://{DOMAIN}:{user.server.port}",
        )
        openssl = ("openssl", "verify", "-CApath", "/etc/ssl/certs", str(user.root_file))
        assert not user.accepts(*curl)
        asked = user.sandbox("trust", "-n", NAME, "--store", "system", status=2)
        assert "add --yes" in asked.err
        assert user.output(*snapshot) == before

        done = user.sandbox("trust", "-n", NAME, "--store", "system", "--yes")
        copied = f"/usr/local/share/ca-certificates/{user.root.label}.crt"
        assert f"$ install -m 0644 {user.state}/trust/{user.root.label}.crt {copied}" in done.err
        assert user.accepts(*curl)
        assert user.output(*openssl).endswith("OK\n")
        again = user.sandbox("trust", "-n", NAME, "--store", "system", "--yes")
        assert "nothing to change" in again.err

        replaced = user.root
        user.renew_root()
        assert not user.accepts(*curl)
        user.sandbox("trust", "-n", NAME, "--store", "system", "--yes")
        assert user.accepts(*curl)
        assert replaced.label not in user.output(*snapshot)

        shutil.rmtree(user.state)
        user.sandbox("untrust", "--yes")
        assert not user.accepts(*curl)
        assert user.output(*snapshot) == before
    assert Path("/etc/ssl/certs/ca-certificates.crt").read_bytes() == here


@pytest.mark.nightly
def test_debians_java_follows_the_system_in_and_out(user: User) -> None:
    need("keytool", "java")
    cacerts = Path("/etc/ssl/certs/java/cacerts")
    with throw_away_system() as prefix:
        java_home = Path(shutil.which("java") or "").resolve().parent.parent
        if (java_home / "lib/security/cacerts").resolve() != cacerts:
            pytest.skip("this Java does not follow the system's store")
        (user.home / "jdk").symlink_to(java_home)
        user.prefix = prefix
        user.output("update-ca-certificates", "--fresh")
        listing = ("sh", "-c", f"keytool -list -rfc -keystore {cacerts} -storepass changeit | grep -v ^Creation | sort")
        before = user.output(*listing)
        refused = user.sandbox("trust", "-n", NAME, "--store", "java", "--yes", status=2)
        assert "--store system" in refused.err
        user.sandbox("trust", "-n", NAME, "--store", "java", "--store", "system", "--yes")
        assert f"debian:{user.root.label}.pem" in user.output(*listing)
        assert user.accepts(*java(user))
        user.sandbox("untrust", "-n", NAME, "--yes")
        assert not user.accepts(*java(user))
        assert user.output(*listing) == before


PROFILES = (
    ".pki/nssdb",
    ".local/share/pki/nssdb",
    ".mozilla/firefox/abc.default-release",
    ".config/mozilla/firefox/def.default",
    "snap/firefox/common/.mozilla/firefox/ghi.default",
    "elsewhere/own profile",
)


def test_browser_databases_accept_nss_and_are_restored(user: User) -> None:
    need("certutil", "tstclnt")
    missing = user.sandbox("trust", "-n", NAME, "--store", "nss", "--yes", status=2)
    assert "start Chrome or Firefox once" in missing.err
    databases = [user.home / profile for profile in PROFILES]
    for database in databases:
        database.mkdir(parents=True)
        user.output("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    ini = "[Profile0]\nName=own\nIsRelative=0\nPath=" + str(databases[-1]) + "\n"
    (user.home / ".config/mozilla/firefox/profiles.ini").write_text(ini)
    before = [holds(user, database) for database in databases]
    assert not any(nss_accepts(user, database) for database in databases)

    shown = user.sandbox("trust", "-n", NAME, "--store", "nss", "--dry-run")
    assert all(f"sql:{database}" in shown.out for database in databases)
    assert [holds(user, database) for database in databases] == before
    user.sandbox("trust", "-n", NAME, "--store", "nss", "--yes")
    assert all(nss_accepts(user, database) for database in databases)
    assert "nothing to change" in user.sandbox("trust", "-n", NAME, "--store", "nss", "--yes").err

    replaced = user.root
    user.renew_root()
    user.sandbox("trust", "-n", NAME, "--store", "nss", "--yes")
    assert all(nss_accepts(user, database) for database in databases)
    assert not any(replaced.label in holds(user, database) for database in databases)

    shutil.rmtree(user.state)
    user.sandbox("untrust", "--yes")
    assert not any(nss_accepts(user, database) for database in databases)
    assert [holds(user, database) for database in databases] == before
    assert "no store holds" in user.sandbox("untrust", "--yes").err


def test_a_java_of_the_users_own_lets_its_programs_in(user: User) -> None:
    need("keytool", "java")
    java_home = Path(shutil.which("java") or "").resolve().parent.parent
    cacerts = user.home / "jdk/lib/security/cacerts"
    cacerts.parent.mkdir(parents=True)
    (user.home / "jdk/bin").symlink_to(java_home / "bin")
    shutil.copyfile(java_home / "lib/security/cacerts", cacerts)
    listing = ("sh", "-c", f"keytool -list -keystore '{cacerts}' -storepass changeit | sort")
    before = user.output(*listing)
    assert not user.accepts(*java(user, cacerts))
    user.sandbox("trust", "-n", NAME, "--store", "java", "--yes")
    assert user.accepts(*java(user, cacerts))
    assert "nothing to change" in user.sandbox("trust", "-n", NAME, "--store", "java", "--yes").err
    user.jdk = "another"  # the one before is known by the record alone
    user.sandbox("untrust", "-n", NAME, "--yes")
    assert not user.accepts(*java(user, cacerts))
    assert user.output(*listing) == before


def test_installed_roots_are_listed(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    need("certutil")
    database = user.home / ".pki/nssdb"
    database.mkdir(parents=True)
    user.output("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    for name, value in user.env.items():
        monkeypatch.setenv(name, value)
    assert stores.installed(user.root.pem, user.state / "trust") == ()
    user.sandbox("trust", "-n", NAME, "--store", "nss", "--yes")
    assert stores.installed(user.root.pem, user.state / "trust") == (f"nss {database}",)


def nss_accepts(user: User, database: Path) -> bool:
    where = ["-h", "localhost", "-4", "-p", str(user.server.port), "-d", f"sql:{database}"]
    request = user.folder / "request"
    request.write_text("GET / HTTP/1.0\r\n\r\n")
    return user.accepts("sh", "-c", 'exec tstclnt "$@" < "$0"', str(request), *where)


def holds(user: User, database: Path) -> str:
    return user.output("certutil", "-L", "-d", f"sql:{database}")


def java(user: User, cacerts: Path | None = None) -> tuple[str, ...]:
    """A client in Java that fetches from the server; with `cacerts` as a JDK whose own file that is would."""
    program = user.folder / "Get.java"
    program.write_text(JAVA)
    options = (f"-Djavax.net.ssl.trustStore={cacerts}",) if cacerts else ()
    return ("java", *options, str(program), f"https://localhost:{user.server.port}/")
