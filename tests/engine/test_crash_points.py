"""A worker dies at a named place: what is on disk then, and what the next one does."""

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
from tests.engine.conftest import put_down
from tests.engine.processes import family, until
from tests.world import World, far_sides

LOST = Fault(kind="lost_answer", side="platform", route="rewards")


class Victim:
    """A cluster of which a worker dies at a place, as soon as it comes there."""

    def __init__(self, environment: dict[str, str], queue: str) -> None:
        self.process = start_cluster(queue, environment)
        until(lambda: len(family(self.process.pid)) == 6, "all its workers are there")
        self.first = family(self.process.pid)

    def await_death(self) -> None:
        """Until one of those that were there at first is not there any more."""
        until(lambda: self.first - family(self.process.pid), "a worker has died")
        put_down(self.process)


Start = Callable[[Point], Victim]
QUEUES = {"reading": "portal", "activating": "bulk"}  # others: collect


@pytest.fixture
def start(
    environment: dict[str, str], box: sandbox.SandboxHandle, settings: Settings
) -> Iterator[Start]:
    started: list[Victim] = []

    def start(point: Point) -> Victim:
        more = {
            VARIABLE: str(point),
            "PLATFORM_CAPABILITY": settings.PLATFORM_CAPABILITY,
        }
        queue = QUEUES.get(point.partition(".")[0], "collect")
        started.append(Victim(environment | far_sides(box) | more, queue))
        return started[-1]

    yield start
    for victim in started:
        put_down(victim.process)


# --- What there is to do, and what is on disk when a worker has died at it ------------------


def one() -> Assignment:
    return Assignment.objects.get()


def attempts(kind: str = Attempt.Kind.ACTIVATE) -> list[str]:
    history = Attempt.objects.filter(kind=kind).order_by("pk")
    return list(history.values_list("outcome", flat=True))


def notice(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(CampaignID=7311, ChannelID=505)


def announced(world: World) -> None:
    world.box.assign("7311", "C1")
    world.open("7311")


def triggered(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(11, campaignID="7311", customerID="C1")
    world.run_only("read_deliveries")


def owed(world: World) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")


def uncertain(world: World) -> None:
    owed(world)
    world.box.order(LOST)
    world.run_activation()
    Assignment.objects.update(not_before=Now(), lease_until=seconds_from_now(-3600))


def active(world: World) -> None:
    owed(world)
    world.run_activation()
    Redemption.objects.update(not_before=Now())


def unread_but_taken(_: World) -> None:
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == (DeliveryState.UNREAD, 1)
    assert delivery.lease_until is not None
    assert not Execution.objects.exists()


def collection_taken(_: World) -> None:
    collection = Collection.objects.get()
    assert collection.deaths == 1
    assert collection.lease_until is not None
    assert not Assignment.objects.exists()


def page_saved(_: World) -> None:
    collection = Collection.objects.get()
    assert (collection.state, collection.deaths) == (CollectionState.DONE, 1)
    assert one().state == AssignmentState.OWED


def customer_still_asked_for(_: World) -> None:
    assert Trigger.objects.get().state == TriggerState.WAITING
    assert not Assignment.objects.exists()


def claimed(world: World) -> None:
    row = one()
    assert (row.state, attempts()) == (AssignmentState.ACTIVATING, [""])
    assert None not in (row.key, row.order, row.first_sent_at, row.lease_until)
    assert not world.box.credits


def credited_unknown_to_us(world: World) -> None:
    assert (one().state, attempts()) == (AssignmentState.ACTIVATING, [""])
    assert len(world.box.credits) == 1


def credited_and_known(world: World) -> None:
    assert (one().state, attempts()) == (AssignmentState.ACTIVE, ["GIVEN"])
    assert Redemption.objects.get().state == RedemptionState.WAITING
    assert len(world.box.credits) == 1


def still_uncertain(world: World) -> None:
    row = one()
    assert (row.state, row.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert attempts(Attempt.Kind.LOOK_UP) == []
    assert len(world.box.credits) == 1


def report_written_down(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTING
    assert Report.objects.get().outcome == ""
    assert not world.box.redemptions


def report_taken_unknown_to_us(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTING
    assert Report.objects.get().outcome == ""
    assert len(world.box.redemptions) == 1


def reported(world: World) -> None:
    assert Redemption.objects.get().state == RedemptionState.REPORTED
    assert len(world.box.redemptions) == 1


@dataclass(frozen=True)
class Case:
    """What a worker is given, what it leaves, and what the next one's attempts say."""

    work: Callable[[World], None]
    left: Callable[[World], None]
    attempts: tuple[str, ...] = ("GIVEN",)
    capability: str = "idempotent,askable"


ASKABLE = "askable"
CASES = {
    Point.READING_TAKEN: Case(notice, unread_but_taken),
    Point.READING_FOLLOWED: Case(notice, unread_but_taken),
    Point.COLLECTING_TAKEN: Case(announced, collection_taken),
    Point.COLLECTING_ANSWERED: Case(announced, collection_taken),
    Point.COLLECTING_SAVED: Case(announced, page_saved),
    Point.ASKING_ANSWERED: Case(triggered, customer_still_asked_for),
    Point.ACTIVATING_CLAIMED: Case(owed, claimed, ("LOST", "GIVEN")),
    Point.ACTIVATING_ANSWERED: Case(owed, credited_unknown_to_us, ("LOST", "GIVEN")),
    Point.ACTIVATING_CONCLUDED: Case(owed, credited_and_known),
    Point.SETTLING_TAKEN: Case(uncertain, still_uncertain, ("UNANSWERED",), ASKABLE),
    Point.SETTLING_ANSWERED: Case(uncertain, still_uncertain, ("UNANSWERED",), ASKABLE),
    Point.REPORTING_CLAIMED: Case(active, report_written_down),
    Point.REPORTING_ANSWERED: Case(active, report_taken_unknown_to_us),
    Point.REPORTING_CONCLUDED: Case(active, reported),
}


@pytest.mark.parametrize("point", Point)
def test_whoever_dies_there_leaves_what_the_next_one_needs(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    settings: Settings,
    start: Start,
    point: Point,
) -> None:
    world, case = World(box), CASES[point]
    settings.PLATFORM_CAPABILITY = case.capability
    box.become(case.capability if case.capability == ASKABLE else "idempotent")
    victim = start(point)

    case.work(world)
    victim.await_death()

    case.left(world)
    let_leases_end()
    world.wait()
    assert (one().state, tuple(attempts())) == (AssignmentState.ACTIVE, case.attempts)
    assert Redemption.objects.get().state == RedemptionState.REPORTED
    assert (len(box.credits), len(box.redemptions)) == (1, 1)


def let_leases_end() -> None:
    """A minute later; the jobs that were handed out are lost, too."""
    OrmQ.objects.all().delete()
    Delivery.objects.exclude(lease_until=None).update(lease_until=seconds_from_now(-1))
    for model in (Assignment, Collection, Redemption):
        model.objects.exclude(lease_until=None).update(
            lease_until=seconds_from_now(-3600)
        )


@pytest.mark.parametrize("capability", ["neither", "askable", "idempotent"])
def test_whatever_the_platform_can_a_death_in_mid_call_gives_it_once_at_most(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    settings: Settings,
    start: Start,
    capability: str,
) -> None:
    world = World(box)
    settings.PLATFORM_CAPABILITY = capability
    box.become({"idempotent": "keyed"}.get(capability, capability))
    victim = start(Point.ACTIVATING_ANSWERED)
    owed(world)
    victim.await_death()

    let_leases_end()
    world.wait()

    row = one()
    expected = (
        AssignmentState.HELD if capability == "neither" else AssignmentState.ACTIVE
    )
    assert (row.state, len(box.credits)) == (expected, 1)
    assert row.doubtful == (capability == "neither")


def test_a_place_that_is_not_there_stops_the_start_with_a_sentence(
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
    assert (
        "PORTAL_CRASH_AT is 'somewhere'; it must be one of reading.taken" in done.stderr
    )
