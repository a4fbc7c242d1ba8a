"""Answers of an engine, as the client library gives them."""

from __future__ import annotations

import json

from requests import Response


def engine_answer(content: object = None) -> Response:
    answer = Response()
    answer.status_code = 200
    answer._content = b"" if content is None else json.dumps(content).encode()
    return answer
