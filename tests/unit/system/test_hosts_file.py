"""Lines of the hosts file: ours come and go, all others stay byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.system import hosts_file

OTHERS = "127.0.0.1 localhost\n# a comment\n::1 ip6-localhost  # sandbox: another, with more words\n"
TEXTS = st.lists(st.sampled_from([*OTHERS.splitlines(), "", "10.0.0.1 x # sandbox:", "\t"])).map("\n".join)


def test_hosts_that_are_gone_lose_their_lines() -> None:
    both = hosts_file.placed(hosts_file.placed("", "one", ["a", "b"], "127.0.0.1"), "two", ["c"], "127.0.0.1")
    fewer = hosts_file.placed(both, "one", ["b"], "127.0.0.1")
    assert fewer == "127.0.0.1 c  # sandbox: two\n127.0.0.1 b  # sandbox: one\n"
    assert hosts_file.removed(both, "one") == "127.0.0.1 c  # sandbox: two\n"
    assert hosts_file.removed(both, None) == ""


@given(TEXTS, st.sampled_from(["\n", ""]))
def test_lines_of_others_stay_as_they_are(text: str, end: str) -> None:
    before = text + end
    with_ours = hosts_file.placed(before, "demo", ["a.test"], "127.0.0.1")
    assert hosts_file.removed(with_ours, "demo") in (before, before + "\n")
    assert with_ours.startswith(before)
