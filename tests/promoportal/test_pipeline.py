"""What follows from what: every signal has an end, and no wake is lost for long."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest
from django.db import transaction
from django.dispatch import Signal
from django_q.models import OrmQ
from pytest_django import Settings

import executions.signals
import redemptions.signals
import rewards.signals
from executions.models import DeliveryState, Execution, ExecutionProgress
from executions.tasks import read_deliveries
from promoportal import jobs, pipeline
from redemptions.models import RedemptionState
from redemptions.tasks import report
from rewards.models import AssignmentState, CollectionState
from rewards.tasks import activate_one
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
    RetrialFactory,
)

ROOMS = [executions.signals, rewards.signals, redemptions.signals]
ABOUT: set[Callable[..., None]] = {row.task for row in pipeline.WAKES_ABOUT}
WOKEN: set[Callable[..., None]] = {row.task for row in pipeline.WAKES} | ABOUT
LOOKED_FOR: set[Callable[..., None]] = {row.task for row in pipeline.DUE}
TASKS = sorted(WOKEN | LOOKED_FOR, key=lambda task: task.__qualname__)
ENDS = [
    *(row.signal for row in pipeline.FOLLOWS),
    *(row.signal for row in pipeline.WAKES),
    *(row.signal for row in pipeline.WAKES_ABOUT),
]


def queued() -> list[str]:
    return [job.task["func"].rpartition(".")[2] for job in OrmQ.objects.order_by("pk")]


def signals_of(room: ModuleType) -> dict[str, Signal]:
    return {
        f"{room.__name__}.{name}": value
        for name, value in vars(room).items()
        if isinstance(value, Signal)
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__qualname__)
def test_a_worker_finds_every_task_by_its_name(task: Callable[..., None]) -> None:
    found = getattr(import_module(task.__module__), task.__qualname__)

    assert found is task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__qualname__)
def test_a_task_takes_a_key_or_nothing(task: Callable[..., None]) -> None:
    assert list(inspect.signature(task).parameters) == ["pk"] * (task in ABOUT)


@pytest.mark.parametrize(
    ("name", "signal"), [pair for room in ROOMS for pair in signals_of(room).items()]
)
def test_every_signal_is_followed_or_wakes_something(name: str, signal: Signal) -> None:
    ends = sum(end is signal for end in ENDS)

    assert ends
    assert len(signal.receivers) == ends


def test_whatever_is_woken_is_also_looked_for() -> None:
    """But for what a person asked for, whom the tick serves as it serves all."""
    assert {activate_one} == WOKEN - LOOKED_FOR


@pytest.mark.parametrize("row", pipeline.FOLLOWS, ids=lambda row: row.service.__name__)
def test_what_follows_takes_what_it_is_told(row: pipeline.Follow) -> None:
    named = dict.fromkeys(row.keywords)

    inspect.signature(row.service).bind(*row.arguments, **named)


# --- Jobs and rows --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_job_apart_from_its_rows_is_refused() -> None:
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue(activate_one, pk=1, queue="portal")
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue_sweep(report, queue="collect")

    assert not OrmQ.objects.exists()


def test_what_did_not_become_true_wakes_no_one(db: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        rewards.signals.owed.send(Execution)
        assert OrmQ.objects.exists()
        raise ZeroDivisionError

    assert not OrmQ.objects.exists()


def test_many_wakes_fill_no_queue(db: None) -> None:
    for _ in range(100):
        rewards.signals.owed.send(Execution)

    assert queued() == ["activate"] * pipeline.MAX_JOBS_WAITING


# --- Work whose wake was lost ---------------------------------------------------------


def deliver() -> None:
    DeliveryFactory(state=DeliveryState.UNREAD)


def ask() -> None:
    execution = ExecutionFactory(state=ExecutionProgress.COLLECTING)
    CollectionFactory(execution=execution, state=CollectionState.WAITING)


def owe() -> None:
    AssignmentFactory()


def doubt() -> None:
    AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)


def wait() -> None:
    RedemptionFactory(state=RedemptionState.WAITING)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        pytest.param(deliver, "read_deliveries", id="a delivery"),
        pytest.param(ask, "collect", id="a pass"),
        pytest.param(owe, "activate", id="a reward that is owed"),
        pytest.param(doubt, "settle", id="a reward in doubt"),
        pytest.param(wait, "report", id="a redemption"),
        pytest.param(RetrialFactory, "retry_many", id="many to be tried again"),
    ],
)
def test_the_tick_finds_what_no_job_was_left_for(
    db: None, work: Callable[[], None], name: str
) -> None:
    work()

    pipeline.tick()

    assert queued() == [name]


def test_an_idle_portal_queues_nothing(db: None) -> None:
    pipeline.tick()

    assert queued() == []


def test_a_busy_queue_keeps_no_other_work_waiting(db: None) -> None:
    """Triggers that come without end fill the queue; a batch is due all the same."""
    for _ in range(100):
        rewards.signals.collecting.send(Execution)
    wait()

    pipeline.tick()

    assert queued() == [*["collect"] * pipeline.MAX_JOBS_WAITING, "report"]


def test_a_queue_nobody_serves_does_not_grow_for_ever(db: None) -> None:
    wait()

    for _ in range(20):
        pipeline.tick()

    assert queued() == ["report"] * pipeline.MAX_JOBS_DUE


def test_what_cannot_be_done_stops_nothing_else(db: None, settings: Settings) -> None:
    settings.PLATFORM_ADAPTER = "nowhere.Platform"
    deliver()
    owe()
    wait()

    with pytest.raises(ExceptionGroup, match="could not do all"):
        pipeline.tick()

    assert set(queued()) == {read_deliveries.__name__, report.__name__}
