"""What the portal makes of lists that shift, and of notices out of order."""

from __future__ import annotations

import pytest

from executions.models import Execution, ExecutionStop
from promoportal.sandbox import Fault
from rewards.models import Assignment, AssignmentReason, AssignmentState, Collection
from tests.conftest import Agree
from tests.world import World

COUNT = 23


def listed(world: World, count: int) -> str:
    for number in range(count):
        world.box.assign("7311", f"C{number:05}", assignment_id=f"A{number}")
    return "7311"


def bad(kind: str, **more: object) -> Fault:
    return Fault(kind=kind, side="promotions", **more)  # type: ignore[arg-type]


def everyone_once(world: World, count: int) -> None:
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
def test_whatever_a_list_does_everyone_gets_theirs_once(
    world: World, agree: Agree, fault: Fault
) -> None:
    agree(("size = 1000", "size = 10"))
    listed(world, COUNT)
    world.box.order(fault)

    world.announce("7311")
    world.wait()
    world.announce("7311")  # the second channel's notice
    world.wait()

    everyone_once(world, COUNT)


def test_a_total_that_is_never_true_is_a_persons_matter_and_the_rest_is_given(
    world: World,
) -> None:
    listed(world, 4)
    world.box.order(bad("wrong_total", by=2, times=None))

    world.announce("7311")
    world.wait()

    assert Collection.objects.get().reason == AssignmentReason.INCOMPLETE
    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 4
    assert world.reconcile("7311").drift == 2


@pytest.mark.parametrize("first", [4, 13])
def test_a_cancelled_execution_gives_nothing_whichever_notice_comes_first(
    world: World, first: int
) -> None:
    listed(world, 3)
    world.box.cancel("7311", announce=False)
    notices = [(4, {"CampaignID": 7311}), (13, {"CampaignID": 7311, "ChannelID": 505})]

    for event, said in notices if first == 4 else notices[::-1]:
        world.notify(event, **said)
    world.wait()

    assert Execution.objects.get().stop == ExecutionStop.CANCELLED
    assert not world.box.credits
    assert set(Assignment.objects.values_list("state", flat=True)) <= {
        AssignmentState.VOID
    }
    assert world.reconcile("7311").drift == 0


def test_a_notice_that_comes_hours_after_the_others_changes_nothing(
    world: World,
) -> None:
    listed(world, 3)
    world.announce("7311")
    world.wait()

    world.announce("7311")
    world.wait()

    everyone_once(world, 3)
