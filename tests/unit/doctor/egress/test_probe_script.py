"""What busybox writes, as the doctor reads it."""

from __future__ import annotations

import base64

from sandbox.doctor.egress import probe_script
from sandbox.doctor.egress.probe_script import Part, received

LOG = """\
=== cluster
Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

Name:\tkubernetes.default.svc.cluster.local
Address: 10.96.0.1

=== status 0
=== server 10.0.0.1
;; connection timed out; no servers could be reached

=== status 1
=== name
Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

** server can't find nobody.example.: NXDOMAIN
=== status 1
=== connect 10.0.0.9
nc: can't connect to remote host (10.0.0.9): Connection refused
=== status 0
"""


def test_every_part_is_found_with_what_it_came_to() -> None:
    parts = probe_script.read(LOG)
    assert list(parts) == ["cluster", "server 10.0.0.1", "name", "connect 10.0.0.9"]
    assert parts["cluster"].addresses == ("10.96.0.1",) and parts["cluster"].succeeded
    assert parts["server 10.0.0.1"].last == "connection timed out; no servers could be reached"
    assert not parts["server 10.0.0.1"].answered
    assert parts["name"].answered and parts["name"].addresses == ()
    assert probe_script.read("") == {}


def test_a_log_that_ends_early_has_the_parts_before() -> None:
    assert list(probe_script.read(LOG[: LOG.index(";;")])) == ["cluster"]


def test_what_the_other_side_sent_is_told_from_what_nc_says() -> None:
    data = bytes(range(256))
    assert received(Part(base64.encodebytes(data).decode(), True)) == ("", data)
    trouble, answer = received(probe_script.read(LOG)["connect 10.0.0.9"])
    assert (trouble, answer) == ("can't connect to remote host (10.0.0.9): Connection refused", b"")
    assert received(Part("no base64 at all!!", True)) == ("", b"")


def test_what_is_sent_is_an_argument_that_any_shell_takes() -> None:
    argv = probe_script.command("a.example", "10.0.0.1", 443, b"", b"\x16\x03\x01\x00'\"", ["9.9.9.9"])
    assert argv[:3] == ["busybox", "sh", "-c"] and "host.sandbox.internal" in argv[3]
    assert argv[4:] == ["outbound", "a.example", "10.0.0.1", "443", "", "FgMBACci", "9.9.9.9"]
