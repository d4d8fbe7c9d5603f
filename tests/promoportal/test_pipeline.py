"""The pipeline: every signal has a receiver, and no lost job stays lost."""

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
from executions.models import (
    DeliveryState,
    EventType,
    Execution,
    ExecutionProgress,
)
from executions.tasks import read_deliveries
from promoportal import jobs, pipeline
from redemptions.models import RedemptionState
from redemptions.tasks import report
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    CollectionState,
)
from rewards.tasks import activate_one
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
    RetrialFactory,
)
from tests.staff_client import StaffClient
from tests.world import World

SIGNAL_MODULES = [executions.signals, rewards.signals, redemptions.signals]
FOR_ONE_ROW: set[Callable[..., None]] = {row.task for row in pipeline.WAKES_ABOUT}
QUEUED: set[Callable[..., None]] = {row.task for row in pipeline.WAKES} | FOR_ONE_ROW
SCHEDULED: set[Callable[..., None]] = {row.task for row in pipeline.DUE}
TASKS = sorted(QUEUED | SCHEDULED, key=lambda task: task.__qualname__)
RECEIVERS = [
    *(row.signal for row in pipeline.FOLLOWS),
    *(row.signal for row in pipeline.WAKES),
    *(row.signal for row in pipeline.WAKES_ABOUT),
]


def queued() -> list[str]:
    return [job.task["func"].rpartition(".")[2] for job in OrmQ.objects.order_by("pk")]


def signals_of(module: ModuleType) -> dict[str, Signal]:
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if isinstance(value, Signal)
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__qualname__)
def test_a_worker_finds_every_task_by_its_name(task: Callable[..., None]) -> None:
    found = getattr(import_module(task.__module__), task.__qualname__)

    assert found is task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__qualname__)
def test_a_task_takes_a_key_or_nothing(task: Callable[..., None]) -> None:
    assert list(inspect.signature(task).parameters) == ["pk"] * (task in FOR_ONE_ROW)


@pytest.mark.parametrize(
    ("name", "signal"),
    [pair for room in SIGNAL_MODULES for pair in signals_of(room).items()],
)
def test_every_signal_has_a_receiver(name: str, signal: Signal) -> None:
    receivers = sum(receiver is signal for receiver in RECEIVERS)

    assert receivers
    assert len(signal.receivers) == receivers


def test_the_scheduler_looks_for_the_work_of_every_job() -> None:
    """Except a job that a user requested: the scheduler serves it with all others."""
    assert {activate_one} == QUEUED - SCHEDULED


@pytest.mark.parametrize("row", pipeline.FOLLOWS, ids=lambda row: row.service.__name__)
def test_every_service_accepts_the_arguments_of_its_signal(
    row: pipeline.Follow,
) -> None:
    keywords = dict.fromkeys(row.keywords)

    inspect.signature(row.service).bind(*row.arguments, **keywords)


# --- Jobs and rows --------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_job_outside_a_transaction_is_refused() -> None:
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue(activate_one, pk=1, queue="portal")
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue_sweep(report, queue="collect")

    assert not OrmQ.objects.exists()


def test_a_change_that_is_rolled_back_starts_no_job(db: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        rewards.signals.owed.send(Execution)
        assert OrmQ.objects.exists()
        raise ZeroDivisionError

    assert not OrmQ.objects.exists()


def test_many_signals_do_not_fill_a_queue(db: None) -> None:
    for _ in range(100):
        rewards.signals.owed.send(Execution)

    assert queued() == ["activate"] * pipeline.MAX_JOBS_WAITING


# --- Work without a job ---------------------------------------------------------------


def create_delivery() -> None:
    DeliveryFactory(state=DeliveryState.UNREAD)


def create_collection() -> None:
    execution = ExecutionFactory(state=ExecutionProgress.COLLECTING)
    CollectionFactory(execution=execution, state=CollectionState.WAITING)


def create_pending_reward() -> None:
    AssignmentFactory()


def create_uncertain_reward() -> None:
    AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)


def create_redemption() -> None:
    RedemptionFactory(state=RedemptionState.WAITING)


@pytest.mark.parametrize(
    ("work", "name"),
    [
        pytest.param(create_delivery, "read_deliveries", id="a delivery"),
        pytest.param(create_collection, "collect", id="a pass"),
        pytest.param(create_pending_reward, "activate", id="a reward that is owed"),
        pytest.param(create_uncertain_reward, "settle", id="a reward in doubt"),
        pytest.param(create_redemption, "report", id="a redemption"),
        pytest.param(RetrialFactory, "retry_many", id="many to be tried again"),
    ],
)
def test_the_scheduler_queues_a_job_for_work_that_lost_its_own(
    db: None, work: Callable[[], None], name: str
) -> None:
    work()

    pipeline.tick()

    assert queued() == [name]


def test_an_idle_portal_queues_nothing(db: None) -> None:
    pipeline.tick()

    assert queued() == []


def test_webhooks_are_processed_although_staff_retry_many_rewards(
    world: World, operations: StaffClient
) -> None:
    for number in range(30):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    Assignment.objects.update(
        state=AssignmentState.HELD, reason=AssignmentReason.TOO_LATE
    )
    OrmQ.objects.all().delete()

    operations.do("retry", *Assignment.objects.all())
    world.notify(EventType.SCHEDULED, CampaignID=7311, ChannelID=505)
    queued = [job.task["func"] for job in OrmQ.objects.filter(key="portal")]
    assert queued == [
        *["rewards.tasks.activate_one"] * pipeline.MAX_JOBS_ABOUT,
        "executions.tasks.read_deliveries",
    ]

    OrmQ.objects.all().delete()
    pipeline.tick()
    world.work()
    assert len(world.box.credits) == 30


def test_a_busy_queue_does_not_block_other_work(db: None) -> None:
    """Triggers fill the queue without end; a batch that is due must not wait."""
    for _ in range(100):
        rewards.signals.collecting.send(Execution)
    create_redemption()

    pipeline.tick()

    assert queued() == [*["collect"] * pipeline.MAX_JOBS_WAITING, "report"]


def test_a_queue_without_workers_does_not_grow_forever(db: None) -> None:
    create_redemption()

    for _ in range(20):
        pipeline.tick()

    assert queued() == ["report"] * pipeline.MAX_JOBS_DUE


def test_a_failing_step_does_not_stop_the_others(db: None, settings: Settings) -> None:
    settings.PLATFORM_ADAPTER = "nowhere.Platform"
    create_delivery()
    create_pending_reward()
    create_redemption()

    with pytest.raises(ExceptionGroup, match="could not do all"):
        pipeline.tick()

    assert set(queued()) == {read_deliveries.__name__, report.__name__}
