"""Answers are kept in a block, and forgotten while other threads ask."""

from __future__ import annotations

from sandbox.system.kept_answers import KeptAnswers


def test_answer_is_returned_when_another_thread_forgets_all_meanwhile() -> None:
    kept = KeptAnswers[int]()

    def send() -> int:
        kept.forget()
        return 7

    with kept.keeping():
        assert kept.answer("question", send) == 7
        kept.forget()
        assert kept.answer("question", lambda: 8) == 8
        assert kept.answer("question", lambda: 9) == 8
    assert kept.answer("question", lambda: 9) == 9
