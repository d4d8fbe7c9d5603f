"""Staff decide about what they saw: an action skips each row that changed since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F, Model
from django.db.models.functions import Now
from pytest_django import Settings

from executions.models import Delivery, DeliveryState, Execution, ExecutionStop, Trigger
from promoportal.admin.links import list_of, page_of
from promoportal.db import row_versions
from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.operations.restored_backup import restored
from redemptions import decisions as redemption_decisions
from redemptions.models import Redemption, RedemptionState
from rewards import decisions
from rewards.models import Assignment, AssignmentState, Collection, Promotion, Tally
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    PromotionFactory,
    RedemptionFactory,
    TriggerFactory,
    UserFactory,
)
from tests.promoportal.admin.test_actions import Case, as_it_is, column, every_case
from tests.staff_client import StaffClient, seen_now

CHANGED = "it changed since you opened the page: look at it again"
CHANGES: list[dict[str, Any]] = [
    {"state_since": Now()},
    {"attempts": F("attempts") + 1},
    {"reason": "MALFORMED"},
    {"value": Decimal(5000)},
    {"unit": "USD"},
    {"reward": {"category": "Bonus"}},
    {"unique_code": "OTHER-CODE"},
    {"meaning": "unknown"},
    {"vendor_status": "Cancelled"},
    {"as_assigned": {"customerId": "another"}},
    {"difference": "REWARD"},
    {"doubtful": True},
    {"repeated": True},
    {"cancelled_too_late": True},
    {"evidence": "receipt that came late"},
]


def held(**more: Any) -> Assignment:
    return AssignmentFactory(state=AssignmentState.HELD, **{"reason": "REFUSED"} | more)


def doubtful() -> Assignment:
    return held(reason="UNANSWERED", doubtful=True, attempts=1)


def list_seen(staff: StaffClient, model: type[Model]) -> str:
    """Return the versions in the list's form, which each of its actions posts."""
    seen: str = staff.get(list_of(model)).context["cl"].seen
    assert f'name="seen" value="{seen}"' in staff.text(list_of(model))
    return seen


def test_an_outdated_list_cannot_send_a_reward_a_third_time(
    operations: StaffClient,
) -> None:
    """A colleague said so first; the reward was sent again, without an answer."""
    row, other = doubtful(), doubtful()
    seen = list_seen(operations, Assignment)
    Assignment.objects.filter(pk=row.pk).update(attempts=2, state_since=Now())

    said = operations.do("not_given", row, other, seen=seen)

    assert said == (
        f"1 assignment is marked as not activated. 1 was left alone: {CHANGED}."
    )
    assert column(row, "state") == AssignmentState.HELD
    assert column(row, "doubtful")
    assert column(other, "state") == AssignmentState.OWED


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_change_that_matters_prevents_an_action_on_a_list(
    operations: StaffClient, change: dict[str, Any]
) -> None:
    row, other = held(), held()
    seen = list_seen(operations, Assignment)
    Assignment.objects.filter(pk=row.pk).update(**change)

    said = operations.do("write_off", row, other, seen=seen)

    assert said == f"1 assignment is written off. 1 was left alone: {CHANGED}."
    assert column(row, "state") == AssignmentState.HELD


def test_another_run_of_the_list_prevents_no_action(operations: StaffClient) -> None:
    row, other = held(cleared=False), held()
    seen = list_seen(operations, Assignment)
    Assignment.objects.update(listed_pass=F("listed_pass") + 1, cleared=True)

    assert operations.do("retry", row, other, seen=seen) == (
        "2 assignments will be tried again."
    )


SERVICES = [
    *(
        pytest.param(service, doubtful, id=f"assignment-{service.__name__}")
        for service in (
            *(decisions.retry, decisions.release, decisions.given),
            *(decisions.not_given, decisions.write_off),
        )
    ),
    *(
        pytest.param(
            service,
            lambda: RedemptionFactory(state=RedemptionState.HELD),
            id=f"redemption-{service.__name__}",
        )
        for service in (
            *(redemption_decisions.report_again, redemption_decisions.write_off),
        )
    ),
]


@pytest.mark.parametrize(("service", "make"), SERVICES)
def test_a_service_compares_the_locked_row_with_what_was_seen(
    db: None, service: Callable[..., Any], make: Callable[[], Any]
) -> None:
    row = make()
    seen = {row.pk: row_versions.version(row)}
    rows = type(row).objects.filter(pk=row.pk)
    rows.update(attempts=7)
    before = as_it_is(row)

    for known in (seen, {}, {row.pk: ""}):
        done = service(rows, by=UserFactory(), why="Seen.", seen=known)

        assert [reason.kind for reason in done.skipped] == [SkipKind.CHANGED]
        assert done.done == 0
    assert as_it_is(row) == before


OTHERS = [
    pytest.param(
        "report_again",
        lambda: RedemptionFactory(state=RedemptionState.HELD),
        lambda rows: rows.update(attempts=2),
        id="redemption",
    ),
    pytest.param(
        "read_again",
        lambda: DeliveryFactory(state=DeliveryState.HELD),
        lambda rows: rows.update(state=DeliveryState.READ, state_since=Now()),
        id="delivery",
    ),
    pytest.param(
        "ask_again",
        lambda: TriggerFactory(state="HELD"),
        lambda rows: rows.update(announced=2),
        id="trigger",
    ),
    pytest.param(
        "not_at_all",
        PromotionFactory,
        lambda rows: rows.update(redemption_mode=Promotion.Mode.SCHEDULED),
        id="promotion",
    ),
    pytest.param(
        "pause",
        ExecutionFactory,
        lambda rows: rows.update(stop=ExecutionStop.HELD),
        id="execution",
    ),
    pytest.param(
        "resume",
        lambda: ExecutionFactory(stop=ExecutionStop.PAUSED, problem="Wait."),
        lambda rows: rows.update(problem="Too many."),
        id="paused execution",
    ),
]


@pytest.mark.parametrize(("action", "make", "change"), OTHERS)
def test_the_lists_of_other_rows_carry_versions_too(
    operations: StaffClient,
    action: str,
    make: Callable[[], Any],
    change: Callable[[Any], Any],
) -> None:
    row, other = make(), make()
    seen = list_seen(operations, type(row))
    change(type(row).objects.filter(pk=row.pk))
    before = as_it_is(row)

    said = operations.do(action, row, other, seen=seen)

    assert said.startswith("1 ")
    assert f"1 was left alone: {CHANGED}." in said
    assert as_it_is(row) == before


@every_case
@pytest.mark.parametrize("seen", ["", "1", ",:,", "row-0"])
def test_a_form_without_a_version_is_refused(
    operations: StaffClient, case: Case, seen: str
) -> None:
    row = case.row()
    before = as_it_is(row)

    said = operations.do(case.action, row, seen=seen)

    assert said.startswith("Nothing was done: the form did not say what you saw.")
    assert as_it_is(row) == before


def test_a_form_with_the_versions_of_other_rows_is_refused(
    operations: StaffClient,
) -> None:
    row, other = held(), held()

    said = operations.do("retry", row, other, seen=seen_now(row))

    assert said.startswith("Nothing was done: ")
    assert column(row, "state") == AssignmentState.HELD


def test_the_confirmation_names_changed_rows_and_leaves_them_alone(
    operations: StaffClient,
) -> None:
    changed, row = held(), held()
    seen = list_seen(operations, Assignment)
    Assignment.objects.filter(pk=changed.pk).update(value=Decimal(5000))

    asked = operations.post("write_off", changed, row, seen=seen)
    fixed = {name: asked.context[name] for name in ("keys", "seen")}
    said = operations.do("write_off", row, _selected_action=[], **fixed)

    assert "1 of them changed since you opened the page" in asked.content.decode()
    assert said == f"1 assignment is written off. 1 was left alone: {CHANGED}."
    assert column(changed, "state") == AssignmentState.HELD


def test_all_matching_rows_are_confirmed_before_anything_is_done(
    operations: StaffClient,
) -> None:
    """The user saw one page of the list: the other rows are shown as a number first."""
    rows = [held() for _ in range(3)]

    asked = operations.post("retry", rows[0], select_across="1", confirmed="yes")
    Assignment.objects.filter(pk=rows[1].pk).update(value=Decimal(5000))
    later = held()
    fixed = {name: asked.context[name] for name in ("keys", "seen")}
    said = operations.do("retry", later, _selected_action=[], **fixed)

    assert "3 assignments" in asked.content.decode()
    assert said == f"2 assignments will be tried again. 1 was left alone: {CHANGED}."
    assert column(rows[1], "state") == AssignmentState.HELD
    assert column(later, "state") == AssignmentState.HELD


# --- The records of the platform that staff looked at ---------------------------------

GRACE = "askable,settle_grace=10m"


@pytest.fixture
def in_flight(db: None, settings: Settings) -> Assignment:
    """A reward whose request may still arrive, while staff open its page."""
    settings.PLATFORM_CAPABILITY = GRACE
    return held(
        reason="UNANSWERED",
        doubtful=True,
        attempts=1,
        first_sent_at=Now(),
        lease_until=seconds_from_now(-300),
    )


def let_the_time_pass(settings: Settings) -> None:
    """The request cannot arrive any more. Nothing else of the row changes."""
    settings.PLATFORM_CAPABILITY = "askable,settle_grace=1m"


@pytest.mark.parametrize("where", ["page", "list"])
def test_staff_who_looked_before_the_request_could_arrive_cannot_deny_it_later(
    operations: StaffClient, settings: Settings, in_flight: Assignment, where: str
) -> None:
    shown: dict[str, Callable[[], str]] = {
        "list": lambda: list_seen(operations, Assignment),
        "page": lambda: operations.get(page_of(in_flight)).context["seen"],
    }
    seen = shown[where]()
    let_the_time_pass(settings)

    said = operations.do("not_given", in_flight, seen=seen)

    assert said.startswith("Nothing was done: the assignment moved on")
    assert column(in_flight, "doubtful")
    assert operations.do("not_given", in_flight) == (
        "1 assignment is marked as not activated."
    )


def test_staff_who_deny_too_early_must_look_again(
    operations: StaffClient, settings: Settings, in_flight: Assignment
) -> None:
    seen = seen_now(in_flight)
    said = operations.do("not_given", in_flight, seen=seen)
    assert "its request may still arrive until" in said
    let_the_time_pass(settings)

    operations.do("not_given", in_flight, seen=seen)

    assert column(in_flight, "doubtful")


def test_a_page_from_before_a_restored_backup_is_outdated(
    operations: StaffClient, settings: Settings, in_flight: Assignment
) -> None:
    """A request of the lost time may have arrived since staff looked."""
    let_the_time_pass(settings)
    seen = seen_now(in_flight)
    restored(database_now() - timedelta(hours=1))
    Assignment.objects.update(lease_until=seconds_from_now(-120))

    operations.do("not_given", in_flight, seen=seen)

    assert column(in_flight, "doubtful")


def test_several_rows_of_a_list_are_compared_one_by_one(
    operations: StaffClient, settings: Settings, in_flight: Assignment
) -> None:
    over = doubtful()
    Assignment.objects.filter(pk=over.pk).update(lease_until=seconds_from_now(-3600))
    seen = list_seen(operations, Assignment)
    let_the_time_pass(settings)

    said = operations.do("not_given", in_flight, over, seen=seen)

    assert said == (
        f"1 assignment is marked as not activated. 1 was left alone: {CHANGED}."
    )
    assert (column(in_flight, "doubtful"), column(over, "doubtful")) == (True, False)


def test_what_staff_saw_before_still_confirms_the_activation(
    operations: StaffClient, settings: Settings, in_flight: Assignment
) -> None:
    seen = list_seen(operations, Assignment)
    let_the_time_pass(settings)

    said = operations.do("given", in_flight, seen=seen)

    assert said == "1 assignment counts as given now."


def test_a_second_approval_may_come_after_the_time_is_over(
    settings: Settings, in_flight: Assignment
) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=0"]
    rows = Assignment.objects.all()
    decisions.given(rows, by=UserFactory(), why="It is there.")
    let_the_time_pass(settings)

    decided = decisions.given(rows, by=UserFactory(), why="I see it, too.")

    assert decided.done == 1


def test_the_time_of_many_rows_takes_one_query_and_of_certain_rows_none(
    in_flight: Assignment, django_assert_num_queries: Any
) -> None:
    certain = [held(), held(lease_until=seconds_from_now(60))]
    many = [in_flight, *(held(doubtful=True, lease_until=Now()) for _ in range(5))]
    rows = list(Assignment.objects.order_by("pk"))
    sure = [row for row in rows if row in certain]
    assert len(rows) == len(many) + len(certain)

    with django_assert_num_queries(1):
        row_versions.versions(rows)
    with django_assert_num_queries(0):
        row_versions.versions(sure)


# --- Resume: the figures that were shown ----------------------------------------------


def over_limit(settings: Settings) -> Execution:
    settings.LIMIT_CUSTOMERS = ["2"]
    execution = ExecutionFactory(
        stop=ExecutionStop.HELD,
        reason="OVER_LIMIT",
        problem="3 rewards were assigned; the limit is 2.",
    )
    CollectionFactory(execution=execution)
    Tally.objects.create(execution=execution, unit="EUR", customers=3, value=30)
    return execution


FIGURES = [
    pytest.param(lambda: Tally.objects.update(customers=500), id="customers"),
    pytest.param(lambda: Tally.objects.update(value=5000), id="value"),
    pytest.param(lambda: Tally.objects.update(unit="USD"), id="unit"),
    pytest.param(
        lambda: Collection.objects.update(reason="INCOMPLETE", total=900, seen=3),
        id="unlisted",
    ),
    pytest.param(
        lambda: Collection.objects.update(waived={"customers": 400, "value": {}}),
        id="waived",
    ),
]


@pytest.mark.parametrize("change", FIGURES)
@pytest.mark.parametrize("where", ["page", "list"])
def test_an_execution_with_other_figures_than_were_seen_is_not_resumed(
    operations: StaffClient,
    settings: Settings,
    change: Callable[[], Any],
    where: str,
) -> None:
    row = over_limit(settings)
    shown: dict[str, Callable[[], str]] = {
        "list": lambda: list_seen(operations, Execution),
        "page": lambda: operations.get(page_of(row)).context["seen"],
    }
    seen = shown[where]()
    change()
    waived = Collection.objects.get().waived

    said = operations.do("resume", row, seen=seen)

    assert said.startswith("Nothing was done: the execution moved on")
    assert column(row, "stop") == ExecutionStop.HELD
    assert Collection.objects.get().waived == waived


def test_a_resume_approves_the_figures_that_were_seen(
    operations: StaffClient, settings: Settings
) -> None:
    row = over_limit(settings)

    assert operations.do("resume", row) == "1 execution runs again."

    assert column(row, "stop") == ExecutionStop.NONE
    assert Collection.objects.get().waived["customers"] == 3


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_new_figures_do_not_prevent_a_stop(
    operations: StaffClient, settings: Settings, action: str
) -> None:
    row = over_limit(settings)
    Execution.objects.update(stop=ExecutionStop.NONE)
    seen = seen_now(row)
    Tally.objects.update(customers=500)

    said = operations.do(action, row, seen=seen)

    assert said.startswith("1 execution is ")


def test_a_resume_needs_the_figures_and_not_only_the_status(
    operations: StaffClient, settings: Settings
) -> None:
    row = over_limit(settings)
    status = row_versions.only(row_versions.version(row), ["status", "cause"])

    said = operations.do("resume", row, seen=f"{row.pk}:{status}")

    assert said.startswith("Nothing was done: the form did not say what you saw.")
    assert column(row, "stop") == ExecutionStop.HELD


@pytest.mark.parametrize(
    "model", [Assignment, Execution, Redemption, Delivery, Trigger, Promotion]
)
def test_every_part_of_a_version_exists(model: type[Model]) -> None:
    assert row_versions.parts_of(model)


# --- What a version reveals -----------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(lambda: held(unique_code="A7"), id="code"),
        pytest.param(lambda: held(as_assigned={"pin": "1234"}), id="payload"),
        pytest.param(lambda: held(receipt="R-1"), id="receipt"),
        pytest.param(RedemptionFactory, id="redemption"),
    ],
)
def test_a_version_cannot_be_computed_without_the_secret_key(
    db: None, settings: Settings, row: Callable[[], Any]
) -> None:
    """Staff without the right to see a code could otherwise guess it from the page."""
    stored = row()
    before = row_versions.version(stored)

    settings.SECRET_KEY = "another"

    after = row_versions.version(stored)
    pairs = zip(before.split("."), after.split("."), strict=True)
    assert all(ours != theirs for ours, theirs in pairs)
