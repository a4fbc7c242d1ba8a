"""What others said, fit to be shown: the cause under what libraries make of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import requests
import urllib3

from sandbox.sanitize import cause
from tests.support.ports import free_port


@pytest.mark.parametrize("ask", [requests.get, partial(urllib3.PoolManager(retries=1).request, "GET")])
def test_the_cause_is_what_the_system_said(ask: Callable[[str], object]) -> None:
    with pytest.raises((requests.RequestException, urllib3.exceptions.HTTPError)) as caught:
        ask(f"http://127.0.0.1:{free_port()}/")
    assert cause(caught.value) == "Connection refused"


def test_unwrapped_exception_keeps_its_message() -> None:
    assert cause(ValueError("no such thing")) == "no such thing"
    assert cause(FileNotFoundError(2, "No such file or directory")) == "No such file or directory"
    with pytest.raises(ValueError, match="b") as caught:
        raise ValueError("b") from KeyError("a")
    assert cause(caught.value) == "b"
