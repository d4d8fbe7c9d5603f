"""Limits on calls to the platform: outages, `Retry-After`, permits and turns."""

from __future__ import annotations

from pytest_django import Settings

from executions.models import Execution, TriggerState
from promoportal import platforms
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Breaker, Side
from promoportal.sandbox import Fault
from rewards.activation import activate, in_doubt, platform_throttle
from rewards.activation.claims import BATCH_SIZE
from rewards.models import Assignment, AssignmentState
from tests.factories import TriggerFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.world import World


def owe_many(world: World, count: int, occurrence: str = "7311") -> None:
    for number in range(count):
        world.box.assign(occurrence, f"C{occurrence}-{number}")
    world.collect(occurrence)


def test_an_outage_opens_the_breaker_and_no_more_rows_are_sent(world: World) -> None:
    owe_many(world, 150)
    world.box.order(Fault(kind="error_before", side="platform", status=500, times=1000))

    world.run_activation()
    world.run_activation()

    assert circuit_breaker.is_open(Side.PLATFORM)
    tried = Assignment.objects.filter(attempts__gt=0).count()
    # The rest of the claim is not sent.
    assert tried == BATCH_SIZE
    failed = Assignment.objects.filter(failures__gt=0).count()
    most = circuit_breaker.MAX_FAILURES[Side.PLATFORM]
    assert most <= failed <= most + 2 * platform_throttle.MAX_CALLS_PER_JOB


def test_after_an_outage_all_rewards_are_activated(world: World) -> None:
    owe_many(world, 60)
    world.box.order(Fault(kind="error_before", side="platform", status=500, times=50))
    world.run_activation()

    world.wait()

    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }
    assert len(world.box.credits) == 60
    assert not Breaker.objects.filter(opened_at__isnull=False).exists()


def test_retry_after_pauses_all_calls(world: World) -> None:
    owe_many(world, 30)
    world.box.order(Fault(kind="too_many", side="platform", retry_after=90, times=1000))

    world.run_activation()
    asked = len(world.box.calls)
    world.run_activation()

    assert circuit_breaker.is_open(Side.PLATFORM)
    assert len(world.box.calls) == asked


def test_without_a_permit_rewards_stay_pending(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CONCURRENCY = 4
    owe_many(world, 5)
    with elsewhere() as other:
        held = platform_throttle.to_call()
        permits = other.do(held.__enter__)
        world.run_activation()

        assert (permits, len(world.box.credits)) == (2, 0)
    world.work()
    assert len(world.box.credits) == 5


def test_a_reward_that_staff_wait_for_has_its_own_permit(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CONCURRENCY = 3
    owe_many(world, 5)
    released = Assignment.objects.order_by("pk").first()
    assert released is not None
    with elsewhere() as other:
        held = platform_throttle.to_ask()
        assert other.do(held.__enter__) == 2
        activate.activate_one(released.pk)

    released.refresh_from_db()
    assert released.state == AssignmentState.ACTIVE


def test_look_ups_have_a_permit_while_campaigns_use_all_others(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CONCURRENCY, settings.PLATFORM_CAPABILITY = 3, "askable"
    owe_many(world, 2)
    world.box.order(Fault(kind="lost_answer", side="platform", times=1))
    world.run_activation()
    (doubtful,) = Assignment.objects.filter(state=AssignmentState.UNCERTAIN)
    with elsewhere() as other:
        assert other.do(platform_throttle.to_call().__enter__) == 1
        world.let_time_come()
        in_doubt.settle()

    doubtful.refresh_from_db()
    assert (doubtful.state, doubtful.doubtful) == (AssignmentState.ACTIVE, False)


def test_several_users_each_have_a_permit(world: World, settings: Settings) -> None:
    settings.PLATFORM_CONCURRENCY = 2
    owe_many(world, 1)
    (released,) = Assignment.objects.all()
    with elsewhere() as other:
        assert other.do(platform_throttle.to_call_once().__enter__) == 1
        activate.activate_one(released.pk)

    released.refresh_from_db()
    assert released.state == AssignmentState.ACTIVE


def test_a_triggered_reward_waits_for_the_current_batch_only(
    world: World,
) -> None:
    for number in range(20):
        owe_many(world, 1, occurrence=f"74{number:02}")
    owe_many(world, 1, occurrence="7500")
    triggered = Execution.objects.get(reference="7500")
    TriggerFactory(execution=triggered, customer="C7500-0", state=TriggerState.DONE)

    due = activate.due_executions(platforms.current_capability())
    due_triggered_first = activate.due_executions(
        platforms.current_capability(), triggered_first=True
    )

    first = [due_triggered_first.first() for _ in range(5)]

    assert {one.reference for one in first if one} == {"7500"}
    others = {one.reference for _ in range(60) if (one := due.first())}
    assert len(others) > 5  # the other turns go to any execution


def test_a_token_rejected_for_all_rows_opens_the_breaker(
    world: World, settings: Settings
) -> None:
    owe_many(world, 5)
    settings.PLATFORM_TOKEN = "expired"

    world.run_activation()

    assert circuit_breaker.is_open(Side.PLATFORM)
    assert Breaker.objects.get().pauses == 1
