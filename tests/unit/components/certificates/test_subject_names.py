"""Names that may and may not stand in a certificate, and that every refusal says what to do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.components.certificates.subject_names import (
    check_domain,
    check_host,
    require_inside,
    unique_hosts,
)
from sandbox.errors import UsageError


def test_hosts_are_returned_once_in_canonical_spelling() -> None:
    names = ("::1", "*.sandbox.localhost", "xn--bcher-kva.test", "1.a.test", "a" * 63 + ".test", "127.0.0.1")
    assert unique_hosts([*names, "0:0::0001", "1.a.test"]) == names


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("*.localhost", r"\*\.sandbox\.localhost"),
        ("bücher.test", "xn--"),
        ("1.2.3.4.5", "end it in a word"),
        ("300.0.0.1", "end it in a word"),
        ("a.0x7f", "end it in a word"),
        *((name, "lower-case") for name in ("", "*", "a*.b.test", "a.*.b.test", "*.*.b.test", "*.", "App.test")),
        *((name, "lower-case") for name in ("my_app.test", "app.test.", ".", "a..test", "-a.test", "a-.test")),
        *((name, "no scheme or port") for name in ("https://a.test", "a.test:443", "a.test\n", "fe80::1%eth0")),
        ("a" * 64 + ".test", "63 characters"),
        (".".join(["a" * 63] * 3 + ["b" * 62]), "253 a name"),
    ],
)
def test_bad_names_are_refused_with_the_fix(name: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_host(name)
    assert caught.value.exit_code == 2
    assert re.search(fix, caught.value.fix)


@pytest.mark.parametrize(
    "domain", ["localhost", "test", "*.demo.test", "127.0.0.1", "a_b.test", "", ".".join(["a" * 63] * 3 + ["b" * 60])]
)
def test_domains_whose_wildcard_clients_refuse_are_refused(domain: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_domain(domain)
    assert caught.value.fix


def test_inside_means_the_domain_itself_or_below_it() -> None:
    require_inside(["demo.test", "*.demo.test", "127.9.9.9"], ["demo.test"])
    outside = ["evildemo.test", "*.test", "10.0.0.1", "::2"]
    with pytest.raises(UsageError) as caught:
        require_inside(["app.demo.test", *outside], ["demo.test"])
    assert ", ".join(outside) in caught.value.brief
    assert "demo.test" in caught.value.details
    assert "sandbox.yaml" in caught.value.fix


@given(text=st.text(max_size=300) | st.text(alphabet="aB0-_.*: ", max_size=300))
def test_any_text_is_a_valid_name_or_refused_with_a_fix(text: str) -> None:
    try:
        name = check_host(text)
    except UsageError as error:
        assert error.fix
        return
    assert check_host(name) == name
    assert name == name.lower() and name.isascii() and len(name) <= 253
    assert all(0 < len(label) <= 63 for label in name.split(".")) or ":" in name
    assert "*" not in name.removeprefix("*.")
