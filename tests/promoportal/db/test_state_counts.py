"""The state counts always equal a count of the rows, and stay few."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from executions import lifecycle
from executions.models import Execution
from promoportal.db import state_counts
from promoportal.db.state_counts import Census, CountKind
from redemptions.models import Redemption
from rewards.models import Assignment, AssignmentState
from tests.factories import AssignmentFactory, RedemptionFactory
from tests.world import World

pytestmark = pytest.mark.django_db


def census(execution: Execution) -> Counter[tuple[str, ...]]:
    return Counter(
        {
            (row.kind, row.meaning, row.state, row.reason): row.count
            for row in state_counts.by_execution(execution.pk)[execution.pk]
        }
    )


def counted(execution: Execution) -> Counter[tuple[str, ...]]:
    rows = Assignment.objects.filter(execution=execution)
    reports = Redemption.objects.filter(execution=execution)
    return Counter(
        [
            *(
                (CountKind.ASSIGNMENT.value, *values)
                for values in rows.values_list("meaning", "state", "reason")
            ),
            *(
                (CountKind.REDEMPTION.value, "", *values)
                for values in reports.values_list("state", "reason")
            ),
        ]
    )


def test_the_state_counts_are_right_at_every_step_of_a_reward(world: World) -> None:
    world.box.assign("7311", "C1")
    world.box.assign("7311", "C2", status="Pending")
    world.box.assign("7311", "C3", status="NotEligible")
    execution = world.collect("7311")
    assert census(execution) == counted(execution)

    world.work()
    assert census(execution) == counted(execution)

    lifecycle.cancel(execution, by=None, why="Enough.")
    world.work()
    assert census(execution) == counted(execution)
    assert census(execution).total() == 4


def test_the_state_counts_include_every_kind_of_change() -> None:
    rows = AssignmentFactory.create_batch(5, state=AssignmentState.OWED)
    execution = rows[0].execution
    Assignment.objects.update(execution=execution)

    Assignment.objects.filter(pk=rows[0].pk).update(
        state=AssignmentState.VOID, reason="CANCELLED"
    )
    Assignment.objects.filter(pk__in=[rows[1].pk, rows[2].pk]).update(meaning="NOTHING")
    rows[3].delete()
    Assignment.objects.update(attempts=F("attempts") + 1)

    assert census(execution) == counted(execution)
    assert census(execution).total() == 4


def test_a_change_that_is_rolled_back_is_not_counted() -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    before = census(row.execution)

    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        Assignment.objects.update(state=AssignmentState.VOID)
        raise KeyboardInterrupt

    assert census(row.execution) == before


def test_a_change_without_effect_on_sums_adds_no_row() -> None:
    AssignmentFactory(state=AssignmentState.OWED)
    rows = Census.objects.count()

    Assignment.objects.update(attempts=F("attempts") + 1)

    assert Census.objects.count() == rows


def test_merging_keeps_the_sums_in_fewer_rows() -> None:
    rows = AssignmentFactory.create_batch(6, state=AssignmentState.OWED)
    execution = rows[0].execution
    Assignment.objects.update(execution=execution)
    for row in rows[:4]:
        Assignment.objects.filter(pk=row.pk).update(state=AssignmentState.VOID)
    before = census(execution)

    for age in (timedelta(minutes=6), timedelta(hours=3), timedelta(days=31)):
        Census.objects.update(at=timezone.now() - age)
        state_counts.compact()

    assert census(execution) == before == counted(execution)
    assert Census.objects.filter(execution=execution).count() == 2
    assert set(Census.objects.values_list("folded", flat=True)) == {86400}


def test_new_rows_are_not_merged_and_show_the_current_rate() -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    Assignment.objects.update(state=AssignmentState.ACTIVE)

    state_counts.compact()

    recently = timezone.now() - timedelta(minutes=2)
    assert state_counts.activated_since(recently) == {row.execution_id: 1}
    assert set(Census.objects.values_list("folded", flat=True)) == {0}


def test_a_day_is_summed_by_hour_and_by_value() -> None:
    row = AssignmentFactory(
        state=AssignmentState.OWED, value=Decimal("12.50"), unit="EUR"
    )
    Assignment.objects.update(state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=row, state="REPORTED")
    AssignmentFactory(state=AssignmentState.OWED, value=Decimal(99), unit="EUR")
    now = timezone.now()
    day = (now - timedelta(hours=12), now + timedelta(hours=12))

    flows = list(state_counts.flows(*day))

    assert sum(flow.assigned for flow in flows) == 2
    assert sum(flow.activated for flow in flows) == 1
    assert sum(flow.reported for flow in flows) == 1
    assert state_counts.given(*day) == {"EUR": Decimal("12.50")}
    assert not list(state_counts.flows(day[0] - timedelta(days=7), day[0]))


def test_a_changed_value_of_a_reward_is_counted() -> None:
    AssignmentFactory(state=AssignmentState.OWED, value=Decimal(5), unit="EUR")

    Assignment.objects.update(value=Decimal(7))

    assert Census.objects.aggregate(total=Sum("value"))["total"] == Decimal(7)
