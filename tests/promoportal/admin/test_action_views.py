"""
The actions that a page offers, for every state and role.

An action that was offered is not performed on a row that has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Model
from pytest_django import Settings

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.actions import Action
from promoportal.admin.links import page_of
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.roles import Role
from promoportal.optimove import Meaning
from redemptions.models import Redemption, RedemptionState
from rewards.models import Assignment, AssignmentReason, AssignmentState, Collection
from tests.factories import (
    AssignmentFactory,
    ExecutionFactory,
    RedemptionFactory,
    UserFactory,
)
from tests.staff_client import WHY, StaffClient

# Only a second reading shows whether these can be read as listed now.
NEEDS_SECOND_READING = {
    AssignmentReason.UNREADABLE,
    AssignmentReason.UNKNOWN_STATUS,
    AssignmentReason.DIFFERS,
}


def actions_of(model: type[Model]) -> list[Action]:
    rows = admin.site.get_model_admin(model)
    assert isinstance(rows, PortalAdmin)
    return list(rows.offered)


def would_do(action: Action, row: Model, by: Any) -> bool:
    """Return whether the action changes the row: perform it and roll it back."""
    with transaction.atomic():
        done = action.act(type(row)._base_manager.filter(pk=row.pk), by=by, why=WHY)
        transaction.set_rollback(True)
    return bool(done.done)


# Eligibility at Optimove and stop of the execution.
CIRCUMSTANCES = [
    (Meaning.ACTIVATE, ExecutionStop.NONE),
    (Meaning.NOTHING, ExecutionStop.NONE),
    (Meaning.ACTIVATE, ExecutionStop.CANCELLED),
]


def assignments(state: AssignmentState, reason: str = "") -> Iterator[Assignment]:
    for (meaning, stop), doubtful in product(CIRCUMSTANCES, (False, True)):
        yield AssignmentFactory(
            state=state,
            reason=reason,
            doubtful=doubtful,
            meaning=meaning,
            execution__stop=stop,
        )


def redemptions(state: RedemptionState) -> Iterator[Redemption]:
    yield RedemptionFactory(state=state)


def executions(stop: ExecutionStop) -> Iterator[Execution]:
    for progress in ExecutionProgress:
        yield ExecutionFactory(stop=stop, state=progress)


STATES: list[Any] = [
    *(
        pytest.param(assignments, (state,), id=f"assignment-{state}")
        for state in AssignmentState
    ),
    *(
        pytest.param(redemptions, (on,), id=f"redemption-{on}")
        for on in RedemptionState
    ),
    *(
        pytest.param(executions, (stop,), id=f"execution-{stop}")
        for stop in ExecutionStop
    ),
]
HELD: list[Any] = [
    pytest.param(assignments, (AssignmentState.HELD, reason), id=f"held-{reason}")
    for reason in AssignmentReason
    if reason not in NEEDS_SECOND_READING
]


@pytest.mark.parametrize(("make", "how"), [*STATES, *HELD])
def test_an_action_fits_exactly_the_rows_that_it_would_change(
    db: None, make: Callable[..., Iterator[Model]], how: tuple[Any, ...]
) -> None:
    person = UserFactory()
    for row in make(*how):
        for action in actions_of(type(row)):
            would = would_do(action, row, person)
            assert action.fits(row) == would, (action.name, vars(row))


@pytest.mark.parametrize(("make", "how"), STATES)
def test_each_role_is_offered_the_fitting_actions_that_it_may_perform(
    client_of: Callable[[Role], StaffClient],
    make: Callable[..., Iterator[Model]],
    how: tuple[Any, ...],
) -> None:
    row = next(make(*how))
    fitting = [action for action in actions_of(type(row)) if action.fits(row)]
    for role in Role:
        staff = client_of(role)

        assert staff.offered(row) == {
            action.name for action in fitting if staff.user.has_perm(action.permission)
        }


def test_after_a_first_decision_the_same_user_is_offered_only_the_opposite(
    client_of: Callable[[Role], StaffClient], settings: Settings
) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=1"]
    row = AssignmentFactory(state=AssignmentState.HELD, doubtful=True)
    operations = client_of(Role.OPERATIONS)

    operations.do("given", row)

    assert operations.offered(row) == {"not_given", "reveal"}


# --- Outdated pages -------------------------------------------------------------------


def seen(staff: StaffClient, row: Model) -> str:
    """Return the version of a row on its page, which each of its actions posts."""
    version: str = staff.get(page_of(row)).context["seen"]
    return version


def held(**more: Any) -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED, **more
    )


def move(row: Any, to: str, **how: Any) -> None:
    type(row).objects.get(pk=row.pk).move(to, why="Meanwhile.", **how)


def retried(row: Assignment) -> None:
    move(row, AssignmentState.OWED)


def held_for_another_reason(row: Assignment) -> None:
    move(row, AssignmentState.OWED)
    move(row, AssignmentState.HELD, reason=AssignmentReason.TOO_LATE)


STALE: list[Any] = [
    *(
        pytest.param(action, held, meanwhile, says, id=f"{action}-{meanwhile.__name__}")
        for action in ("retry", "write_off")
        for meanwhile, says in (
            (retried, "the assignment moved on while you looked, and is now: Pending"),
            (held_for_another_reason, "and is now: Needs review."),
        )
    ),
    pytest.param(
        "report_again",
        lambda: RedemptionFactory(state=RedemptionState.HELD),
        lambda row: move(row, RedemptionState.WAITING),
        "the redemption moved on while you looked, and is now: Pending.",
        id="report_again",
    ),
    *(
        pytest.param(
            action,
            ExecutionFactory,
            lambda row: move(row, ExecutionStop.CANCELLED, machine="stop"),
            "the execution moved on while you looked, and is now: Cancelled.",
            id=action,
        )
        for action in ("pause", "cancel", "open")
    ),
    pytest.param(
        "resume",
        lambda: ExecutionFactory(stop=ExecutionStop.PAUSED),
        lambda row: move(row, ExecutionStop.HELD, machine="stop"),
        "and is now: Needs review.",
        id="resume",
    ),
]


@pytest.mark.parametrize(("action", "make", "meanwhile", "says"), STALE)
def test_an_action_on_an_outdated_page_changes_nothing_and_explains_why(
    operations: StaffClient,
    action: str,
    make: Callable[[], Model],
    meanwhile: Callable[[Model], None],
    says: str,
) -> None:
    row = make()
    before = seen(operations, row)
    meanwhile(row)
    as_it_is = type(row)._base_manager.filter(pk=row.pk).values().get()

    said = operations.do(action, row, seen=before, page=row.pk)

    assert said.startswith("Nothing was done: ")
    assert says in said
    assert type(row)._base_manager.filter(pk=row.pk).values().get() == as_it_is
    assert not LogEntry.objects.exists()


def test_a_change_during_the_confirmation_stops_the_action(
    operations: StaffClient,
) -> None:
    row = held()
    asked = operations.post("write_off", row, seen=seen(operations, row))
    held_for_another_reason(row)

    said = operations.do("write_off", row, seen=asked.context["seen"])

    assert said.startswith("Nothing was done: ")
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


@pytest.mark.parametrize(
    ("action", "make"),
    [
        ("retry", held),
        ("given", lambda: AssignmentFactory(state=AssignmentState.HELD, doubtful=True)),
        (
            "not_given",
            lambda: AssignmentFactory(state=AssignmentState.HELD, doubtful=True),
        ),
        ("write_off", held),
        ("report_again", lambda: RedemptionFactory(state=RedemptionState.HELD)),
        ("write_off", lambda: RedemptionFactory(state=RedemptionState.HELD)),
        ("pause", ExecutionFactory),
        ("resume", lambda: ExecutionFactory(stop=ExecutionStop.PAUSED)),
        ("cancel", ExecutionFactory),
    ],
)
def test_a_double_click_performs_an_action_once(
    operations: StaffClient, action: str, make: Callable[[], Any]
) -> None:
    row = make()
    before = seen(operations, row)

    first, second = (
        operations.do(action, row, seen=before, page=row.pk) for _ in range(2)
    )

    assert not first.startswith("Nothing was done")
    assert second.startswith("Nothing was done: ")
    assert LogEntry.objects.count() == 1
    assert row.transitions.filter(by=operations.user, why=WHY).count() == 1


@pytest.mark.parametrize(
    ("state", "aside"),
    [
        (ExecutionProgress.COLLECTING, set()),
        (ExecutionProgress.ACTIVATING, set()),
        (ExecutionProgress.SETTLED, {"pause", "cancel"}),
    ],
)
def test_stopping_a_settled_execution_is_offered_below_more(
    operations: StaffClient, state: ExecutionProgress, aside: set[str]
) -> None:
    row = ExecutionFactory(state=state)

    page = operations.get(page_of(row))

    assert {action.name for action in page.context["aside"]} == aside
    first, _, behind = page.content.decode().partition("<summary>More</summary>")
    for name in ("open", "pause", "cancel"):
        assert f'value="{name}"' in (behind if name in aside else first)
    operations.do("pause", row, page=row.pk)
    row.refresh_from_db()
    assert row.stop == ExecutionStop.PAUSED


def test_a_double_click_on_fetch_again_requests_one_run(
    operations: StaffClient,
) -> None:
    row = ExecutionFactory(state=ExecutionProgress.SETTLED)
    before = seen(operations, row)

    for _ in range(2):
        operations.do("open", row, seen=before, page=row.pk)

    asked = Collection.objects.get(execution=row).transitions.filter(after="WAITING")
    assert [(move.by, move.why) for move in asked] == [(operations.user, WHY)]
    assert row.transitions.count() == 1


def test_progress_in_the_meantime_does_not_prevent_a_pause(
    operations: StaffClient,
) -> None:
    row = ExecutionFactory(state=ExecutionProgress.COLLECTING)
    before = seen(operations, row)
    move(row, ExecutionProgress.ACTIVATING)

    assert operations.do("pause", row, seen=before) == "1 execution is paused."
