"""Tests of the rate of credits, and of its recovery after an outage."""

from __future__ import annotations

import pytest

from bench.chaos.throughput import rate, recovery


def _credits(begin: float, end: float, per_second: int) -> list[float]:
    count = round((end - begin) * per_second)
    return [begin + number / per_second for number in range(count)]


def test_the_rate_counts_only_credits_in_the_period() -> None:
    assert rate(_credits(0, 100, 10), 20, 30) in (10.0, 10.1)
    assert rate([], 0, 10) == rate([1.0], 5, 5) == 0


def test_the_rate_has_recovered_when_three_seconds_have_nine_tenths_of_it() -> None:
    times = _credits(20, 40, 10)

    assert recovery(times, 10, 40, before=10) == pytest.approx(12.7, abs=0.1)
    assert recovery(times, 20, 40, before=10) == 3.0


def test_credits_before_the_database_is_back_do_not_count() -> None:
    assert recovery(_credits(0, 10, 100), 10, 40, before=10) is None


def test_a_rate_that_stays_lower_has_not_recovered() -> None:
    assert recovery(_credits(10, 40, 8), 10, 40, before=10) is None
    assert recovery(_credits(12, 40, 10), 10, 12.5, before=10) is None
