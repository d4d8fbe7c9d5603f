"""The census always says what counting would say, and stays small."""

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


def told(execution: Execution) -> Counter[tuple[str, ...]]:
    return Counter(
        {
            (one.kind, one.meaning, one.state, one.reason): one.count
            for one in state_counts.by_execution(execution.pk)[execution.pk]
        }
    )


def counted(execution: Execution) -> Counter[tuple[str, ...]]:
    rows = Assignment.objects.filter(execution=execution)
    reports = Redemption.objects.filter(execution=execution)
    return Counter(
        [
            *(
                (CountKind.ASSIGNMENT.value, *said)
                for said in rows.values_list("meaning", "state", "reason")
            ),
            *(
                (CountKind.REDEMPTION.value, "", *said)
                for said in reports.values_list("state", "reason")
            ),
        ]
    )


def test_it_is_right_at_every_step_of_a_reward(world: World) -> None:
    world.box.assign("7311", "C1")
    world.box.assign("7311", "C2", status="Pending")
    world.box.assign("7311", "C3", status="NotEligible")
    execution = world.collect("7311")
    assert told(execution) == counted(execution)

    world.work()
    assert told(execution) == counted(execution)

    lifecycle.cancel(execution, by=None, why="Enough.")
    world.work()
    assert told(execution) == counted(execution)
    assert told(execution).total() == 4


def test_it_is_right_whoever_moves_a_row_and_however() -> None:
    rows = AssignmentFactory.create_batch(5, state=AssignmentState.OWED)
    execution = rows[0].execution
    Assignment.objects.update(execution=execution)

    Assignment.objects.filter(pk=rows[0].pk).update(
        state=AssignmentState.VOID, reason="CANCELLED"
    )
    Assignment.objects.filter(pk__in=[rows[1].pk, rows[2].pk]).update(meaning="NOTHING")
    rows[3].delete()
    Assignment.objects.update(attempts=F("attempts") + 1)

    assert told(execution) == counted(execution)
    assert told(execution).total() == 4


def test_what_is_rolled_back_is_not_counted() -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    before = told(row.execution)

    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        Assignment.objects.update(state=AssignmentState.VOID)
        raise KeyboardInterrupt

    assert told(row.execution) == before


def test_a_change_that_changes_no_sum_leaves_no_row() -> None:
    AssignmentFactory(state=AssignmentState.OWED)
    rows = Census.objects.count()

    Assignment.objects.update(attempts=F("attempts") + 1)

    assert Census.objects.count() == rows


def test_folded_it_says_the_same_in_fewer_rows() -> None:
    rows = AssignmentFactory.create_batch(6, state=AssignmentState.OWED)
    execution = rows[0].execution
    Assignment.objects.update(execution=execution)
    for row in rows[:4]:
        Assignment.objects.filter(pk=row.pk).update(state=AssignmentState.VOID)
    before = told(execution)

    for age in (timedelta(minutes=6), timedelta(hours=3), timedelta(days=31)):
        Census.objects.update(at=timezone.now() - age)
        state_counts.compact()

    assert told(execution) == before == counted(execution)
    assert Census.objects.filter(execution=execution).count() == 2
    assert set(Census.objects.values_list("folded", flat=True)) == {86400}


def test_what_is_new_is_not_folded_and_tells_how_fast_it_goes() -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    Assignment.objects.update(state=AssignmentState.ACTIVE)

    state_counts.compact()

    lately = timezone.now() - timedelta(minutes=2)
    assert state_counts.activated_since(lately) == {row.execution_id: 1}
    assert set(Census.objects.values_list("folded", flat=True)) == {0}


def test_a_day_is_told_by_the_hour_and_by_its_value() -> None:
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


def test_the_value_of_a_reward_that_changes_is_counted_anew() -> None:
    AssignmentFactory(state=AssignmentState.OWED, value=Decimal(5), unit="EUR")

    Assignment.objects.update(value=Decimal(7))

    assert Census.objects.aggregate(total=Sum("value"))["total"] == Decimal(7)
