from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from promoportal import sandbox
from promoportal.sandbox import SlidingWindow
from tests.sandbox.callers import Operator

# Multiples of 1/32 s, which floats represent exactly, so that borders are exact.
GAPS = st.lists(st.integers(0, 96).map(lambda gap: gap / 32), max_size=80)


def granted(gaps: list[float], limit: SlidingWindow) -> tuple[list[float], list[bool]]:
    times = list(accumulate(gaps))
    return times, [limit.grants("key", now=now) for now in times]


@given(GAPS, st.integers(1, 6))
def test_no_window_holds_more_granted_calls_than_the_limit(
    gaps: list[float], calls: int
) -> None:
    times, answers = granted(gaps, SlidingWindow(calls, 4.0))

    kept = [now for now, yes in zip(times, answers, strict=True) if yes]
    for start in kept:
        inside = bisect_right(kept, start + 4.0) - bisect_left(kept, start)
        assert inside <= calls


@given(GAPS, st.integers(1, 6))
def test_a_call_is_refused_only_if_the_window_is_full(
    gaps: list[float], calls: int
) -> None:
    limit = SlidingWindow(calls, 4.0)
    kept: list[float] = []

    for now in accumulate(gaps):
        full = sum(1 for other in kept if now - other <= 4.0) >= calls
        assert limit.grants("key", now=now) is not full
        if not full:
            kept.append(now)


@given(GAPS)
def test_most_is_the_number_of_calls_in_the_fullest_window(gaps: list[float]) -> None:
    limit = SlidingWindow(3, 4.0)
    times, answers = granted(gaps, limit)

    fullest = max(
        (bisect_right(times, t + 4.0) - bisect_left(times, t) for t in times), default=0
    )
    assert limit.most == fullest
    assert (limit.total, limit.refused) == (len(times), answers.count(False))


def test_each_key_has_its_own_budget() -> None:
    limit = SlidingWindow(1, 4.0)

    assert limit.grants("one", now=0)
    assert limit.grants("other", now=0)
    assert not limit.grants("one", now=4)
    assert limit.grants("one", now=4.01)


def test_both_apis_share_fifty_calls_before_the_documented_refusal(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=1)
    for _ in range(25):
        assert operator.assignments(occurrence).status_code == 200
        assert operator.ask("General/GetRegisteredEventListeners").status_code == 200

    refused = operator.assignments(occurrence)

    assert refused.status_code == 429
    assert "Retry-After" not in refused.headers
    assert refused.json() == {
        "status": 429,
        "error": "Too Many Requests",
        "message": "You have exceeded the rate limit for this API group. "
        "Please retry later.",
    }
    assert (box.rate.total, box.rate.refused, box.rate.most) == (51, 1, 51)


def test_wrong_keys_and_platform_calls_do_not_use_up_the_budget(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    for _ in range(60):
        operator.ask("General/X", headers={"X-API-KEY": "wrong"})
        operator.look_up("k1")

    assert box.rate.total == 0


def test_a_reset_can_change_limits_and_page_sizes(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.reset(sandbox.Options(calls=2, seconds=0.1, page_size=1, largest_page=2))
    occurrence = box.execute(customers=3)

    first = operator.assignments(occurrence).json()["assignments"]
    second = operator.assignments(occurrence, pageSize=3).json()["assignments"]

    assert (len(first), len(second)) == (1, 2)
    assert operator.assignments(occurrence).status_code == 429
    time.sleep(0.12)
    assert operator.assignments(occurrence).status_code == 200
