"""Calls for many rows at once: which calls begin, and which do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest

from promoportal.platforms import Receipt
from rewards.activation.call_pool import Outcome, call_all
from rewards.models import Assignment

ROWS = [Assignment(customer=f"C{number}") for number in range(6)]


def test_no_call_begins_after_storing_a_result_failed() -> None:
    called: list[str] = []
    failing = Event()

    def call(row: Assignment) -> Receipt:
        called.append(row.customer)
        return Receipt("R")

    def may_begin() -> bool:
        if called:
            failing.wait(5)  # the second row is submitted, but its call has not begun
            time.sleep(0.2)
        return True

    def save_results() -> None:
        with closing(call_all(ROWS, call, threads=1, may_begin=may_begin)) as answers:
            next(answers)
            failing.set()
            raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError):
        save_results()

    assert called == ["C0"]


def test_the_next_row_is_read_when_a_thread_is_free() -> None:
    asked: list[str] = []

    def rows() -> Iterator[Assignment]:
        for row in ROWS:
            asked.append(row.customer)
            yield row

    with closing(
        call_all(rows(), lambda _: None, threads=2, may_begin=lambda: True)
    ) as answers:
        assert next(answers).outcome == Outcome.NOT_FOUND
        assert len(asked) <= 4
