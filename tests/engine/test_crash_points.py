"""A worker crashes at a crash point: the state on disk, and the next worker's work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django_q.models import OrmQ
from pytest_django import Settings

from bench.clusters import start_cluster
from executions.models import Delivery, DeliveryState, Execution, Trigger, TriggerState
from promoportal import sandbox
from promoportal.db.database_clock import seconds_from_now
from promoportal.runtime.crash_points import VARIABLE, Point
from promoportal.sandbox import Fault
from redemptions.models import Redemption, RedemptionState, Report
from rewards.models import (
    Assignment,
    AssignmentState,
    Attempt,
    Collection,
    CollectionState,
)
from tests.engine.conftest import kill_family
from tests.engine.processes import family, until
from tests.world import World, sandbox_settings

LOST_RESPONSE = Fault(kind="lost_answer", side="platform", route="rewards")


class CrashingCluster:
    """A cluster in which a worker crashes as soon as it reaches a crash point."""

    def __init__(self, environment: dict[str, str], queue: str) -> None:
        self.process = start_cluster(queue, environment)
        until(lambda: len(family(self.process.pid)) == 6, "all its workers are there")
        self.first = family(self.process.pid)

    def await_crash(self) -> None:
        """Wait until one of the first processes has exited."""
        until(lambda: self.first - family(self.process.pid), "a worker has died")
        kill_family(self.process)


Start = Callable[[Point], CrashingCluster]
QUEUES = {"reading": "portal", "activating": "bulk"}  # others: collect


@pytest.fixture
def start(
    environment: dict[str, str], box: sandbox.SandboxHandle, settings: Settings
) -> Iterator[Start]:
    started: list[CrashingCluster] = []

    def start(point: Point) -> CrashingCluster:
        more = {
            VARIABLE: str(point),
            "PLATFORM_CAPABILITY": settings.PLATFORM_CAPABILITY,
        }
        queue = QUEUES.get(point.partition(".")[0], "collect")
        started.append(
            CrashingCluster(environment | sandbox_settings(box) | more, queue)
        )
        return started[-1]

    yield start
    for cluster in started:
        kill_family(cluster.process)


# --- The work, and the state on disk after the crash ----------------------------------------


def assignment() -> Assignment:
    return Assignment.objects.get()


def attempts(kind: str = Attempt.Kind.ACTIVATE) -> list[str]:
    history = Attempt.objects.filter(kind=kind).order_by("pk")
    return list(history.values_list("outcome", flat=True))


def delivery(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(CampaignID=7311, ChannelID=505)


def announced(world: World) -> None:
    world.box.assign("7311", "C1")
    world.open("7311")


def triggered(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(11, campaignID="7311", customerID="C1")
    world.run_only("read_deliveries")


def pending(world: World) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")


def uncertain(world: World) -> None:
    pending(world)
    world.box.order(LOST_RESPONSE)
    world.run_activation()
    Assignment.objects.update(not_before=Now(), lease_until=seconds_from_now(-3600))


def redeemable(world: World) -> None:
    pending(world)
    world.run_activation()
    Redemption.objects.update(not_before=Now())


def delivery_claimed(_: World) -> None:
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (DeliveryState.UNREAD, 1)
    assert delivery.lease_until is not None
    assert not Execution.objects.exists()


def collection_claimed(_: World) -> None:
    collection = Collection.objects.get()
    assert collection.deaths == 1
    assert collection.lease_until is not None
    assert not Assignment.objects.exists()


def page_saved(_: World) -> None:
    collection = Collection.objects.get()
    assert (collection.state, collection.deaths) == (CollectionState.DONE, 1)
    assert assignment().state == AssignmentState.OWED


def customer_pending(_: World) -> None:
    assert Trigger.objects.get().state == TriggerState.WAITING
    assert not Assignment.objects.exists()


def reward_claimed(world: World) -> None:
    row = assignment()
    assert (row.state, attempts()) == (AssignmentState.ACTIVATING, [""])
    assert None not in (row.key, row.order, row.first_sent_at, row.lease_until)
    assert not world.box.credits


def credited_unrecorded(world: World) -> None:
    assert (assignment().state, attempts()) == (AssignmentState.ACTIVATING, [""])
    assert len(world.box.credits) == 1


def credited_recorded(world: World) -> None:
    assert (assignment().state, attempts()) == (AssignmentState.ACTIVE, ["GIVEN"])
    assert Redemption.objects.get().state == RedemptionState.WAITING
    assert len(world.box.credits) == 1


def still_uncertain(world: World) -> None:
    row = assignment()
    assert (row.state, row.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert attempts(Attempt.Kind.LOOK_UP) == []
    assert len(world.box.credits) == 1


def report_recorded(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTING
    assert Report.objects.get().outcome == ""
    assert not world.box.redemptions


def report_unrecorded(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTING
    assert Report.objects.get().outcome == ""
    assert len(world.box.redemptions) == 1


def reported(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTED
    assert len(world.box.redemptions) == 1


@dataclass(frozen=True)
class Case:
    """The work, the state that a crash leaves, and the final outcomes of attempts."""

    work: Callable[[World], None]
    left: Callable[[World], None]
    attempts: tuple[str, ...] = ("GIVEN",)
    capability: str = "idempotent,askable"


ASKABLE = "askable"
CASES = {
    Point.READING_TAKEN: Case(delivery, delivery_claimed),
    Point.READING_FOLLOWED: Case(delivery, delivery_claimed),
    Point.COLLECTING_TAKEN: Case(announced, collection_claimed),
    Point.COLLECTING_ANSWERED: Case(announced, collection_claimed),
    Point.COLLECTING_SAVED: Case(announced, page_saved),
    Point.ASKING_ANSWERED: Case(triggered, customer_pending),
    Point.ACTIVATING_CLAIMED: Case(pending, reward_claimed, ("LOST", "GIVEN")),
    Point.ACTIVATING_ANSWERED: Case(pending, credited_unrecorded, ("LOST", "GIVEN")),
    Point.ACTIVATING_CONCLUDED: Case(pending, credited_recorded),
    Point.SETTLING_TAKEN: Case(uncertain, still_uncertain, ("UNANSWERED",), ASKABLE),
    Point.SETTLING_ANSWERED: Case(uncertain, still_uncertain, ("UNANSWERED",), ASKABLE),
    Point.REPORTING_CLAIMED: Case(redeemable, report_recorded),
    Point.REPORTING_ANSWERED: Case(redeemable, report_unrecorded),
    Point.REPORTING_CONCLUDED: Case(redeemable, reported),
}


@pytest.mark.parametrize("point", Point)
def test_the_next_worker_completes_what_a_crash_interrupted(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    settings: Settings,
    start: Start,
    point: Point,
) -> None:
    world, case = World(box), CASES[point]
    settings.PLATFORM_CAPABILITY = case.capability
    box.become(case.capability if case.capability == ASKABLE else "idempotent")
    cluster = start(point)

    case.work(world)
    cluster.await_crash()

    case.left(world)
    expire_leases()
    world.wait()
    assert (assignment().state, tuple(attempts())) == (
        AssignmentState.ACTIVE,
        case.attempts,
    )
    assert Redemption.objects.get().state == RedemptionState.REPORTED
    assert (len(box.credits), len(box.redemptions)) == (1, 1)


def expire_leases() -> None:
    """Let all leases expire, and drop the jobs, which are lost as well."""
    OrmQ.objects.all().delete()
    Delivery.objects.exclude(lease_until=None).update(lease_until=seconds_from_now(-1))
    for model in (Assignment, Collection, Redemption):
        model.objects.exclude(lease_until=None).update(
            lease_until=seconds_from_now(-3600)
        )


@pytest.mark.parametrize("capability", ["neither", "askable", "idempotent"])
def test_a_crash_during_a_call_activates_at_most_once_on_every_platform(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    settings: Settings,
    start: Start,
    capability: str,
) -> None:
    world = World(box)
    settings.PLATFORM_CAPABILITY = capability
    box.become({"idempotent": "keyed"}.get(capability, capability))
    cluster = start(Point.ACTIVATING_ANSWERED)
    pending(world)
    cluster.await_crash()

    expire_leases()
    world.wait()

    row = assignment()
    expected = (
        AssignmentState.HELD if capability == "neither" else AssignmentState.ACTIVE
    )
    assert (row.state, len(box.credits)) == (expected, 1)
    assert row.doubtful == (capability == "neither")


def test_an_unknown_crash_point_stops_the_start_with_a_sentence(
    environment: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "check"],
        env=environment | {VARIABLE: "somewhere"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "PORTAL_CRASH_AT is 'somewhere'. Use one of: reading.taken" in done.stderr
