from __future__ import annotations

import time

import pytest
import requests
from requests import ReadTimeout
from requests.exceptions import ChunkedEncodingError

from promoportal import sandbox
from promoportal.sandbox import Fault
from tests.sandbox.callers import Operator
from tests.sandbox.test_operator_platform import ORDER


def test_an_answer_lost_after_the_work_leaves_the_work_done(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="lost_answer", side="platform"))

    with pytest.raises(requests.ConnectionError):
        operator.reward(ORDER, key="k1")

    assert len(box.credits) == 1
    assert operator.reward(ORDER, key="k1").status_code == 200
    assert box.faults == []


def test_half_an_answer_leaves_the_work_done(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="half_answer", side="platform"))

    with pytest.raises((ChunkedEncodingError, requests.ConnectionError)):
        operator.reward(ORDER)

    assert len(box.credits) == 1


def test_a_reset_comes_before_any_work(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="reset", side="platform"))

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        operator.reward(ORDER)

    assert not box.credits


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        (Fault(kind="error_before"), 500, 0),
        (Fault(kind="error_before", status=503, retry_after=7), 503, 0),
        (Fault(kind="error_before", status=401), 401, 0),
        (Fault(kind="error_after"), 502, 1),
        (Fault(kind="too_many"), 429, 0),
        (Fault(kind="sentence"), 200, 0),
        (Fault(kind="sentence_after"), 200, 1),
        (Fault(kind="empty"), 200, 1),
    ],
)
def test_an_answer_may_contradict_the_work(
    box: sandbox.SandboxHandle, operator: Operator, fault: Fault, status: int, done: int
) -> None:
    box.order(fault)

    answer = operator.reward(ORDER)

    assert answer.status_code == status
    assert "reference" not in answer.text
    assert len(box.credits) == done


def test_a_fault_strikes_as_long_as_it_lasts(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="error_before", status=422, times=None, lasts=60))

    answers = [operator.reward(ORDER).status_code for _ in range(2)]
    [fault] = box.faults

    assert answers == [422, 422]
    assert fault.lasts is not None
    assert 0 < fault.lasts < 60


def test_a_fault_ends_by_itself_after_its_time(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="error_before", times=None, lasts=0.2))
    time.sleep(0.3)

    assert box.faults == []
    assert operator.reward(ORDER).status_code == 201


def test_retry_after_is_sent_only_if_ordered(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="too_many"))
    box.order(Fault(kind="too_many", retry_after=3))

    assert "Retry-After" not in operator.reward(ORDER).headers
    assert operator.reward(ORDER).headers["Retry-After"] == "3"


def test_an_error_sentence_is_a_bare_string_instead_of_an_object(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="sentence", side="promotions", text="Bad Request"))

    answer = operator.assignments("7311")

    assert (answer.status_code, answer.json()) == (200, "Bad Request")


def test_any_field_of_an_answer_can_be_altered(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=3)
    changes = {"totalCount": 4, "nextPageToken": "round and round"}
    box.order(Fault(kind="altered", side="promotions", changes=changes))

    page = operator.assignments(occurrence).json()

    assert len(page["assignments"]) == 3
    assert page | changes == page


def test_a_slow_answer_comes_after_the_work(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="slow", side="platform", seconds=0.5))

    with pytest.raises(ReadTimeout):
        operator.reward(ORDER, timeout=0.05)

    assert len(box.credits) == 1


def test_late_work_is_done_after_the_client_has_gone(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="late_work", side="platform", seconds=0.1))

    with pytest.raises(ReadTimeout):
        operator.reward(ORDER, timeout=0.05)

    assert not box.credits
    time.sleep(0.15)
    assert len(box.credits) == 1


def test_an_answer_that_drips_defeats_a_timeout_per_read(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="drip", side="platform", seconds=0.3))
    started = time.perf_counter()

    answer = operator.reward(ORDER, timeout=0.1)

    assert answer.json()["reference"]
    assert time.perf_counter() - started >= 0.3


def test_a_client_may_close_the_connection_during_a_drip(
    box: sandbox.SandboxHandle, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    box.order(Fault(kind="drip", side="platform", seconds=0.1))

    operator.reward(ORDER, stream=True).close()
    time.sleep(0.15)

    assert operator.reward(ORDER).ok
    assert not caplog.records


def test_a_fault_strikes_the_ordered_times_after_the_skipped_calls(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="error_before", side="platform", skip=1, times=2))

    answers = [operator.reward(ORDER).status_code for _ in range(5)]

    assert answers == [201, 500, 500, 201, 201]


def test_a_fault_without_an_end_strikes_until_it_is_cleared(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="error_before", times=None))
    before = [operator.reward(ORDER).status_code for _ in range(3)]

    box.clear_faults()

    assert before == [500, 500, 500]
    assert operator.reward(ORDER).status_code == 201


def test_a_random_fault_is_the_same_for_the_same_seed(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    def answers() -> list[int]:
        box.clear_faults()
        box.order(Fault(kind="error_before", times=None, chance=0.5, seed=7))
        return [operator.reward(ORDER).status_code for _ in range(20)]

    first = answers()

    assert first == answers()
    assert set(first) == {201, 500}


@pytest.mark.parametrize(
    ("route", "struck"),
    [
        ("*", True),
        ("rewards", True),
        ("POST REWARDS", True),
        ("rewards/*", False),
        ("GET *", False),
    ],
)
def test_a_fault_strikes_only_its_route(
    box: sandbox.SandboxHandle, operator: Operator, route: str, struck: bool
) -> None:
    box.order(Fault(kind="error_before", side="platform", route=route))

    assert (operator.reward(ORDER).status_code == 500) is struck


@pytest.mark.parametrize(
    ("side", "struck"),
    [("vendor", "vp"), ("promotions", "p"), ("optimove", "v"), ("platform", "")],
)
def test_a_fault_strikes_only_its_side(
    box: sandbox.SandboxHandle, operator: Operator, side: str, struck: str
) -> None:
    box.order(Fault(kind="error_before", side=side, times=None))

    external = operator.ask("General/GetRegisteredEventListeners")
    promotions = operator.assignments("7311")

    assert (external.status_code == 500) is ("v" in struck)
    assert (promotions.status_code == 500) is ("p" in struck)


@pytest.mark.parametrize(
    "mistake",
    [
        {"kind": "meteor"},
        {"kind": "slow", "side": "moon"},
        {"kind": "slow", "side": "notices"},
        {"kind": "doubled"},
        {"kind": "slow", "times": 0},
        {"kind": "slow", "chance": 2},
    ],
)
def test_an_invalid_fault_cannot_be_ordered(mistake: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Fault(**mistake)  # type: ignore[arg-type]


def test_an_unauthorised_request_uses_up_no_fault(box: sandbox.SandboxHandle) -> None:
    box.order(Fault(kind="error_before", side="platform"))

    requests.post(f"{box.platform_url}/rewards", json=ORDER, timeout=5)

    assert len(box.faults) == 1


def test_calls_are_recorded_without_their_keys(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.order(Fault(kind="lost_answer", side="platform"))
    with pytest.raises(requests.ConnectionError):
        operator.reward(ORDER)
    operator.assignments("7311")

    lost, answered = box.calls

    assert (lost.method, lost.path, lost.status) == ("POST", "rewards", None)
    assert lost.fault == "lost_answer"
    assert (answered.side, answered.status) == ("promotions", 200)
    assert box.api_key not in repr(box.calls)
