"""Answers of servers that are not there, given in place of the adapter of requests."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import pytest
import requests
from requests.adapters import HTTPAdapter

Answer = tuple[int, Mapping[str, str]]


def answer_all(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Answer]) -> list[tuple[str, str]]:
    """Answer every request by its URL with a status and headers; returns each URL with its Authorization."""
    asked: list[tuple[str, str]] = []

    def send(_: object, request: requests.PreparedRequest, **__: object) -> requests.Response:
        asked.append((str(request.url), request.headers.get("Authorization", "")))
        response = requests.Response()
        response.status_code, headers = answer(str(request.url))
        response.headers.update(headers)
        response.request, response.url, response.raw = request, str(request.url), io.BytesIO()
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return asked
