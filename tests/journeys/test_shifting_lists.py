"""Lists that change while they are fetched, and notifications out of order."""

from __future__ import annotations

import pytest

from executions.models import Execution, ExecutionStop
from promoportal.sandbox import Fault
from rewards.models import Assignment, AssignmentReason, AssignmentState, Collection
from tests.conftest import Agree
from tests.world import World

COUNT = 23


def assign(world: World, count: int) -> str:
    for number in range(count):
        world.box.assign("7311", f"C{number:05}", assignment_id=f"A{number}")
    return "7311"


def bad(kind: str, **more: object) -> Fault:
    return Fault(kind=kind, side="promotions", **more)  # type: ignore[arg-type]


def assert_everyone_once(world: World, count: int) -> None:
    found = world.reconcile("7311")
    assert (found.active, found.reported, found.drift) == (count, count, 0)
    assert len(world.box.credits) == count
    assert len({credit.customer for credit in world.box.credits}) == count


@pytest.mark.parametrize(
    "fault",
    [
        bad("shifted_up", seconds=0.2),
        bad("shifted_down", seconds=0.2),
        bad("listed_late", seconds=0.2),
        bad("wrong_total", by=3),
        bad("wrong_total", by=-3),
        bad("other_ids"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.by:+}",
)
def test_every_customer_gets_one_reward_however_the_list_changes(
    world: World, agree: Agree, fault: Fault
) -> None:
    agree(("size = 1000", "size = 10"))
    assign(world, COUNT)
    world.box.order(fault)

    world.announce("7311")
    world.wait()
    world.announce("7311")  # the second channel's notification
    world.wait()

    assert_everyone_once(world, COUNT)


def test_a_wrong_total_needs_review_and_the_listed_rewards_are_activated(
    world: World,
) -> None:
    assign(world, 4)
    world.box.order(bad("wrong_total", by=2, times=None))

    world.announce("7311")
    world.wait()

    assert Collection.objects.get().reason == AssignmentReason.INCOMPLETE
    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 4
    assert world.reconcile("7311").drift == 2


@pytest.mark.parametrize("first", [4, 13])
def test_a_cancelled_execution_activates_nothing_in_any_order_of_notifications(
    world: World, first: int
) -> None:
    assign(world, 3)
    world.box.cancel("7311", announce=False)
    notices = [(4, {"CampaignID": 7311}), (13, {"CampaignID": 7311, "ChannelID": 505})]

    for event, fields in notices if first == 4 else notices[::-1]:
        world.notify(event, **fields)
    world.wait()

    assert Execution.objects.get().stop == ExecutionStop.CANCELLED
    assert not world.box.credits
    assert set(Assignment.objects.values_list("state", flat=True)) <= {
        AssignmentState.VOID
    }
    assert world.reconcile("7311").drift == 0


def test_a_late_notification_changes_nothing(
    world: World,
) -> None:
    assign(world, 3)
    world.announce("7311")
    world.wait()

    world.announce("7311")
    world.wait()

    assert_everyone_once(world, 3)
