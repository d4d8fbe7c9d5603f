"""Limits on calls to the platform: outages, `Retry-After`, permits and turns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

import pytest
from pytest_django import Settings

from executions.models import Execution, TriggerState
from promoportal import platforms
from promoportal.db.database_clock import database_now
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Breaker, Side
from promoportal.sandbox import Fault
from rewards.activation import activate, in_doubt, platform_throttle
from rewards.activation.claims import BATCH_SIZE
from rewards.models import Assignment, AssignmentState
from tests.factories import TriggerFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.promoportal.wire import raw_server as raw
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


RECEIPT = raw.answer(b'{"reference": "R1"}', status=201)
WAIT_AN_HOUR = raw.answer(status=429, headers={"Retry-After": "3600"})


def refusing(customers: Iterable[str], refusal: bytes) -> raw.Speech:
    """Activate each reward, but send `refusal` for the rewards of these customers."""
    refused = frozenset(customers)

    def speak(connection: raw.Connection) -> None:
        while (body := connection.hear()) is not None:
            is_refused = json.loads(body)["customerId"] in refused
            connection.say(refusal if is_refused else RECEIPT)

    return speak


def activated() -> int:
    return Assignment.objects.filter(state=AssignmentState.ACTIVE).count()


def others_wait() -> timedelta:
    """Return the time for which no call is permitted."""
    opened = Breaker.objects.filter(opened_at__isnull=False).first()
    if opened is None or opened.open_until is None:
        return timedelta(0)
    return opened.open_until - database_now()


@pytest.mark.parametrize("capability", ["idempotent,askable", "neither"])
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(WAIT_AN_HOUR, id="429"),
        pytest.param(raw.answer(status=429), id="429 without a time"),
        pytest.param(raw.answer(status=403), id="403"),
        pytest.param(raw.answer(status=503, headers={"Retry-After": "3600"}), id="503"),
        pytest.param(raw.answer(status=500), id="500"),
    ],
)
@pytest.mark.parametrize("due_first", [1, 21])
def test_a_refusal_of_one_customer_delays_no_other(
    world: World, settings: Settings, capability: str, refusal: bytes, due_first: int
) -> None:
    settings.PLATFORM_CAPABILITY = capability
    with raw.serving(refusing(["C7311-0"], refusal)) as platform:
        settings.PLATFORM_URL = platform.address
        owe_many(world, due_first)
        world.run_activation()
        owe_many(world, 21)
        world.run_activation()

    assert (activated(), others_wait()) == (20, timedelta(0))


def test_the_rewards_of_one_customer_delay_others_for_some_seconds_at_most(
    world: World, settings: Settings
) -> None:
    campaigns = [f"74{number:02}" for number in range(9)]
    for campaign in campaigns:
        world.box.assign(campaign, "C1")
    with raw.serving(refusing(["C1"], WAIT_AN_HOUR)) as platform:
        settings.PLATFORM_URL = platform.address
        for campaign in campaigns:
            world.collect(campaign)
        world.run_activation()

        assert timedelta(0) < others_wait() <= circuit_breaker.FIRST_PAUSE


def test_repeated_refusals_of_one_row_do_not_extend_the_pause(
    world: World, settings: Settings
) -> None:
    with raw.serving(refusing(["C7311-0"], WAIT_AN_HOUR)) as platform:
        settings.PLATFORM_URL = platform.address
        owe_many(world, 1)
        for _ in range(8):
            world.let_time_come()
            world.run_activation()

        assert others_wait() <= circuit_breaker.FIRST_PAUSE


@pytest.mark.parametrize("capability", ["idempotent,askable", "neither"])
def test_the_pause_grows_to_retry_after_while_other_rows_are_refused(
    world: World, settings: Settings, capability: str
) -> None:
    settings.PLATFORM_CAPABILITY = capability
    owe_many(world, 110)
    everyone = [f"C7311-{number}" for number in range(110)]
    pauses = []
    with raw.serving(refusing(everyone, WAIT_AN_HOUR)) as platform:
        settings.PLATFORM_URL = platform.address
        for _ in range(4):
            world.run_activation()
            pauses.append(round(others_wait().total_seconds()))
            Breaker.objects.update(open_until=database_now())

        assert pauses == pytest.approx([10, 60, 360, 2160], abs=2)
        assert len(platform.heads) <= 70


def test_the_failing_rewards_of_triggered_customers_do_not_keep_the_breaker_open(
    world: World, settings: Settings
) -> None:
    owe_many(world, 5)
    failing = [f"C7500-{number}" for number in range(100)]
    with raw.serving(refusing(failing, raw.answer(status=500))) as platform:
        settings.PLATFORM_URL = platform.address
        owe_many(world, 100, occurrence="7500")
        triggered = Execution.objects.get(reference="7500")
        for customer in failing:
            TriggerFactory(
                execution=triggered, customer=customer, state=TriggerState.DONE
            )
        for _ in range(10):
            world.run_activation()
            Breaker.objects.update(open_until=database_now())

    assert activated() == 5


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


@pytest.mark.parametrize("permits", [1, 2, 3, 32])
def test_only_one_worker_calls_the_platform_for_users(
    world: World, settings: Settings, permits: int
) -> None:
    """The other workers of the queue process webhooks. The scheduler finds the reward."""
    settings.PLATFORM_CONCURRENCY = permits
    owe_many(world, 1)
    (released,) = Assignment.objects.all()
    with elsewhere() as other:
        assert other.do(platform_throttle.to_call_once().__enter__) == 1
        activate.activate_one(released.pk)
        assert not world.box.credits

    world.work()

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
