"""A step of the database's clock grants no call beyond the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection

from promoportal.optimove import rate_limiter
from promoportal.optimove.rate_limiter import Granted, Priority
from promoportal.runtime.monotonic_clock import Machine, machine

Step = Callable[[str], None]
STEPS = ["11 seconds", "2 hours", "400 days", "-2 seconds", "-11 seconds", "-2 hours"]
SHORT = timedelta(seconds=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def step(db: None) -> Iterator[Step]:
    """Return a function that shifts the clock of this session by an interval."""

    def set_to(by: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('stepped.by', %s, false)", [by])

    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE SCHEMA stepped;
            CREATE FUNCTION stepped.clock_timestamp() RETURNS timestamptz
            RETURN pg_catalog.clock_timestamp()
                + current_setting('stepped.by')::interval;
            SET search_path = stepped, public, pg_catalog
        """)
    set_to("0 seconds")
    yield set_to
    with connection.cursor() as cursor:
        cursor.execute("RESET search_path")


def other() -> Machine:
    """Return another machine, which was started earlier."""
    return Machine("another", machine().clock + 1_000)


def take(
    count: int, window: timedelta = rate_limiter.WINDOW, of: Machine | None = None
) -> int:
    taken = [
        rate_limiter.acquire(Priority.PERSON, window=window, machine=of)
        for _ in range(count)
    ]
    return sum(isinstance(each, Granted) for each in taken)


@pytest.mark.parametrize("by", STEPS)
def test_a_step_refills_nothing(by: str, step: Step) -> None:
    assert take(30) == 30
    step(by)

    assert take(60) == 18


@pytest.mark.parametrize("by", STEPS)
def test_a_step_stops_calls_for_one_window_at_most(by: str, step: Step) -> None:
    assert take(48, SHORT) == 48
    step(by)
    assert take(1, SHORT) == 0

    time.sleep(SHORT.total_seconds())

    assert take(60, SHORT) == 48


@pytest.mark.parametrize("by", STEPS)
def test_a_machine_that_is_new_after_a_step_refills_nothing(
    by: str, step: Step
) -> None:
    assert take(48) == 48
    step(by)

    assert take(1, of=other()) == 0
    assert take(1) == 0


@pytest.mark.parametrize("by", STEPS)
def test_each_machine_detects_a_step_that_another_saw_first(
    by: str, step: Step
) -> None:
    assert take(1, of=other()) == 1
    assert take(1) == 1
    step(by)

    assert take(60, of=other()) == 46
    assert take(1) == 0
    assert take(1, of=other()) == 0


@pytest.mark.parametrize("by", STEPS)
def test_a_step_that_is_undone_refills_nothing(by: str, step: Step) -> None:
    assert take(1) == 1
    assert take(1, of=other()) == 1
    step(by)
    assert take(60, of=other()) == 46
    step("0 seconds")

    assert take(1) == 0
    assert take(1, of=other()) == 0


def test_a_new_machine_waits_for_one_window_at_most(step: Step) -> None:
    assert take(48, SHORT) == 48
    time.sleep(SHORT.total_seconds())
    # It can't know how long ago these calls were made.
    assert take(1, SHORT, of=other()) == 0

    time.sleep(SHORT.total_seconds())

    assert take(60, SHORT, of=other()) == 48


@pytest.mark.parametrize("by", STEPS)
def test_a_step_that_only_a_new_machine_saw_refills_nothing(
    by: str, step: Step
) -> None:
    assert take(1) == 1
    step(by)
    assert take(60, of=other()) == 47
    step("0 seconds")

    assert take(1) == 0
    assert take(1, of=other()) == 0


def test_a_small_step_that_is_undone_after_a_pause_refills_nothing(
    step: Step,
) -> None:
    assert take(1) + take(1, of=other()) == 2
    time.sleep(1.2)
    step("-1.1 seconds")
    assert take(60, SHORT, of=other()) >= 46
    step("0 seconds")

    assert take(1, SHORT) == 0


def test_a_query_that_waits_costs_its_time_and_no_window(step: Step) -> None:
    assert take(48, SHORT) == 48
    time.sleep(1.1)
    step("0.3 seconds")

    assert take(48, SHORT) == 48


def test_machines_that_were_started_at_different_times_share_a_window(
    step: Step,
) -> None:
    def asking(number: int) -> Machine:
        return Machine(f"machine {number}", machine().clock + 1_000 * number)

    first = [take(1, SHORT, of=asking(number % 3)) for number in range(60)]
    time.sleep(SHORT.total_seconds())
    second = [take(1, SHORT, of=asking(number % 3)) for number in range(60)]

    assert sum(first) == sum(second) == 48


def test_a_restart_of_a_machine_refills_nothing() -> None:
    assert take(48) == 48

    assert take(1, of=Machine(machine().name, 5.0)) == 0


def test_old_machines_are_forgotten() -> None:
    for number in range(120):
        rate_limiter.acquire(Priority.PERSON, machine=Machine(str(number), 1.0))

    assert len(rate_limiter.Allowance.objects.get().machines) <= 100


@pytest.mark.parametrize("by", [0.2, -0.2])
def test_many_small_steps_refill_nothing(by: float, step: Step) -> None:
    """Each step is smaller than the tolerance, and together they pass the window."""
    granted = take(48)
    for number in range(1, 61):
        step(f"{number * by} seconds")
        granted += take(1)

    assert granted == 48


@pytest.mark.parametrize("by", [0.2, -0.2])
def test_small_steps_between_several_machines_refill_nothing(
    by: float, step: Step
) -> None:
    granted = take(24) + take(24, of=other())
    for number in range(1, 61):
        step(f"{number * by} seconds")
        granted += take(1, of=other() if number % 2 else None)

    assert granted == 48


@pytest.mark.parametrize(
    "steps",
    [("11 seconds", "-11 seconds", "11 seconds"), ("-11 seconds", "11 seconds")],
)
def test_steps_forward_and_back_refill_nothing(
    steps: tuple[str, ...], step: Step
) -> None:
    granted = take(48)
    for by in steps:
        step(by)
        granted += take(5) + take(5, of=other())

    assert granted == 48
