"""After a restore, no row is sent or asked about before its whole list is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_django import Settings

from executions.lifecycle import add_triggers
from executions.models import Execution
from promoportal.db.database_clock import seconds_from_now
from promoportal.operations import restored_backup
from promoportal.optimove import Promotions
from promoportal.optimove.rate_limiter import Allowance
from promoportal.sandbox import Fault
from rewards import limits
from rewards.activation import in_doubt
from rewards.collection import collect
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    CollectionState,
)
from tests.conftest import Agree
from tests.promoportal.operations.test_restored_backup import KINDS, backup, restore
from tests.promoportal.operations.test_restored_repeats import (
    MEANT,
    ONE_ROW_A_PAGE,
    assign,
    in_review,
    turn_round,
)
from tests.world import World

Restore = Callable[[], None]


@pytest.fixture(params=["idempotent", "idempotent,askable", "askable"])
def restored(
    request: pytest.FixtureRequest, world: World, settings: Settings, agree: Agree
) -> Restore:
    """A1 is rejected, A2 is activated with its own key, and a backup is restored."""
    settings.PLATFORM_CAPABILITY = request.param
    world.box.become(KINDS[request.param])
    dump = backup()
    rows = assign(world, "A1")
    world.collect("7311")
    rejected = Fault(kind="error_before", side="platform", route="rewards", status=422)
    world.box.order(rejected)
    world.work()
    rows += assign(world, "A2")

    def go_back() -> None:
        world.announce("7311")
        assert len(world.box.credits) == 1
        restore(dump)
        restored_backup.detect_restore()
        turn_round(rows)

    agree(MEANT)
    return go_back


def step(execution: Execution, *, list_first: bool) -> None:
    """Make one call to Optimove."""
    Allowance.objects.all().delete()
    with Promotions.from_settings() as client:
        collect.collect_from(execution, client, list_first=list_first)


def first_page(world: World, agree: Agree, restored: Restore) -> Execution:
    """Store the first of two pages: A2, without A1."""
    agree(MEANT, ONE_ROW_A_PAGE)
    restored()
    execution = world.open("7311")
    step(execution, list_first=True)
    return execution


def finish(world: World) -> None:
    for _ in range(8):
        world.let_time_come()
        world.work()


def ask() -> None:
    """Ask the platform about possibly activated rows, after all requests are over."""
    for _ in range(3):
        in_doubt.settle()
        past = seconds_from_now(-3600)
        Assignment.objects.update(lease_until=past, not_before=past)


def test_no_reward_is_sent_twice_after_a_look_up_that_ends_during_the_run(
    world: World, agree: Agree, restored: Restore
) -> None:
    execution = first_page(world, agree, restored)
    add_triggers("7311", [("C9", None)])
    step(execution, list_first=False)
    world.run_activation()
    finish(world)

    assert len(world.box.credits) == 1
    assert in_review() == {"A1", "A2"}


def test_no_reward_is_sent_twice_if_the_platform_is_asked_during_the_run(
    world: World, agree: Agree, restored: Restore
) -> None:
    execution = first_page(world, agree, restored)
    ask()
    add_triggers("7311", [("C9", None)])
    step(execution, list_first=False)
    world.run_activation()
    finish(world)

    assert len(world.box.credits) == 1
    assert in_review() == {"A1", "A2"}


def test_no_reward_is_sent_twice_after_optimove_left_a_row_out_once(
    world: World, restored: Restore, settings: Settings
) -> None:
    restored()
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.order(Fault(kind="listed_late", side="promotions", seconds=0.01))
    execution = world.open("7311")
    step(execution, list_first=True)  # a complete run without A1
    assert Assignment.objects.get().reference == "A2"
    world.run_activation()
    ask()
    world.run_activation()
    finish(world)

    assert len(world.box.credits) == 1
    assert in_review() == {"A1", "A2"}


def test_no_reward_is_sent_twice_after_staff_resume_during_the_run(
    world: World, agree: Agree, restored: Restore
) -> None:
    execution = first_page(world, agree, restored)
    limits.waive(execution)
    world.run_activation()
    ask()
    world.run_activation()
    finish(world)

    assert len(world.box.credits) == 1
    assert in_review() == {"A1", "A2"}


@pytest.mark.parametrize("meant", [True, False])
def test_rows_of_a_list_that_stays_incomplete_do_not_wait(
    world: World, agree: Agree, restored: Restore, meant: bool
) -> None:
    """If repeats are meant, the row that is missing may be the first one."""
    execution = first_page(world, agree, restored)
    if not meant:
        agree(ONE_ROW_A_PAGE)
    held, incomplete = CollectionState.HELD, AssignmentReason.INCOMPLETE
    Collection.objects.update(state=held, reason=incomplete)
    limits.check_run(Collection.objects.get(execution=execution))

    row = Assignment.objects.get()
    assert row.cleared
    if meant:
        assert (row.state, row.reason) == ("HELD", AssignmentReason.REPEATED)
        assert "stayed incomplete" in row.problem
    else:
        assert row.state == AssignmentState.OWED
