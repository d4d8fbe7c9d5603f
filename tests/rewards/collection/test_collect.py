"""The fetch of assignments: all rows are stored, whatever faults the calls have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError
from django.db.models import Max
from pytest_django import Settings

from executions.lifecycle import add_triggers, open_execution
from executions.models import EventType, ExecutionProgress, Trigger, TriggerState
from promoportal import optimove, pipeline, wire
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.optimove import Page, Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.sandbox import Fault, Options
from rewards.collection import collect, fetch_runs, ingest, triggered_lookup
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    CollectionState,
)
from tests.world import World

BUILT_IN = Path(optimove.__file__).with_name("contract.toml")
LISTED = "v1/customerAssignments"
REWARD = {"category": "Amount", "type": "BonusCash", "value": 10, "currency": "EUR"}


def collection(occurrence: str) -> Collection:
    return Collection.objects.get(execution__reference=occurrence)


def listing_calls(world: World) -> int:
    return sum("customerAssignments" in call.path for call in world.box.calls)


def assign(world: World, count: int, occurrence: str = "7311", first: int = 0) -> None:
    for number in range(first, first + count):
        world.box.assign(occurrence, f"C{number}")


@pytest.fixture
def small_pages(world: World) -> World:
    """Return a world in which Optimove returns at most ten rows per page."""
    world.box.reset(Options(largest_page=10))
    return world


def test_every_page_is_fetched(small_pages: World) -> None:
    assign(small_pages, 35)

    small_pages.collect("7311")

    found = collection("7311")
    assert Assignment.objects.count() == 35
    assert (found.state, found.pages, found.seen) == (CollectionState.DONE, 4, 35)


def test_a_crash_between_two_pages_resumes_at_the_second(small_pages: World) -> None:
    assign(small_pages, 35)
    open_execution("7311")
    one_call(small_pages)
    calls = listing_calls(small_pages)

    small_pages.work()

    assert calls == 1
    assert listing_calls(small_pages) == 4
    assert Assignment.objects.count() == 35


def one_call(world: World, *, list_first: bool = False) -> None:
    """Fetch and store one page, as a worker that then stops."""
    execution = collect.due_executions(triggered_first=not list_first).first()
    assert execution is not None
    with Promotions.from_settings() as client:
        collect.collect_from(
            execution, client, Priority.COLLECTING, list_first=list_first
        )


def test_a_worker_without_its_lease_stores_nothing(small_pages: World) -> None:
    assign(small_pages, 15)
    execution = open_execution("7311")
    with fetch_runs.acquired(execution.pk) as stale:
        assert stale is not None
        fetch_runs.begin(stale)
        with Promotions.from_settings() as client:
            page = client.assignments("7311")
        small_pages.let_time_come()
        small_pages.work()

        with pytest.raises(state_machine.LostRace):
            ingest.store(stale, page, fetch_runs.advance)

    assert Assignment.objects.count() == 15


def test_a_worker_without_its_lease_begins_no_run(small_pages: World) -> None:
    assign(small_pages, 15)
    execution = open_execution("7311")
    with fetch_runs.acquired(execution.pk) as stale:
        assert stale is not None
        small_pages.let_time_come()
        with fetch_runs.acquired(execution.pk) as current:
            assert current is not None

            with pytest.raises(state_machine.LostRace):
                fetch_runs.begin(stale)

    assert collection("7311").state == CollectionState.WAITING


def test_a_worker_without_its_lease_records_no_failure(small_pages: World) -> None:
    assign(small_pages, 15)
    execution = open_execution("7311")
    small_pages.box.order(Fault(kind="error_before", side="promotions", status=400))
    with (
        Promotions.from_settings() as client,
        fetch_runs.acquired(execution.pk) as stale,
    ):
        assert stale is not None
        small_pages.let_time_come()
        # The one rejected call is that of the worker that lost its lease.
        with pytest.raises(wire.Rejected) as refused:
            client.assignments("7311")
        small_pages.work()
        collect._fail(stale, refused.value)

    assert collection("7311").state == CollectionState.DONE


def test_webhooks_during_a_run_request_one_more_run(
    small_pages: World,
) -> None:
    assign(small_pages, 15)
    open_execution("7311")
    one_call(small_pages)

    for _ in range(3):
        open_execution("7311")
    one_call(small_pages)
    assert (collection("7311").finished, Assignment.objects.count()) == (1, 15)
    small_pages.work()

    assert collection("7311").finished == 2


def test_continuous_webhooks_do_not_prevent_the_end_of_a_run(
    small_pages: World,
) -> None:
    assign(small_pages, 35)
    open_execution("7311")
    for _ in range(4):
        one_call(small_pages)
        open_execution("7311")

    assert collection("7311").finished == 1
    assert Assignment.objects.count() == 35


def test_a_settled_execution_is_fetched_again_when_announced_again(
    world: World,
) -> None:
    assign(world, 3)
    world.announce("7311")
    assign(world, 2, first=3)

    world.announce("7311")

    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 5
    assert len(world.box.credits) == 5


def test_a_list_shorter_than_its_total_is_fetched_three_more_times(
    world: World,
) -> None:
    assign(world, 3)
    world.box.order(altered(totalCount=4))
    open_execution("7311")

    world.wait()

    found = collection("7311")
    assert (found.state, found.reason) == (
        CollectionState.HELD,
        AssignmentReason.INCOMPLETE,
    )
    assert found.number == 4
    assert "3 rows" in found.problem
    assert world.reconcile("7311").drift == 1


def altered(*, times: int | None = None, **changes: object) -> Fault:
    return Fault(
        kind="altered", side="promotions", route=LISTED, times=times, changes=changes
    )


def test_a_rejected_page_token_restarts_the_run(small_pages: World) -> None:
    assign(small_pages, 15)
    small_pages.box.order(
        Fault(kind="error_before", side="promotions", route=LISTED, status=400, skip=1)
    )
    open_execution("7311")

    small_pages.wait()

    assert collection("7311").state == CollectionState.DONE
    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 15


def test_a_repeated_page_token_ends_the_run(
    small_pages: World,
) -> None:
    assign(small_pages, 15)
    small_pages.box.order(altered(nextPageToken="again"))
    open_execution("7311")

    small_pages.wait()

    assert collection("7311").state == CollectionState.HELD


def test_an_empty_list_is_fetched_again_and_then_needs_review(world: World) -> None:
    world.box.open("7311")
    open_execution("7311")

    world.wait()

    found = collection("7311")
    assert (found.state, found.reason) == (CollectionState.HELD, AssignmentReason.EMPTY)
    assert listing_calls(world) == 1 + len(fetch_runs.EMPTY_WAITS)


def test_a_list_that_is_filled_late_is_fetched(world: World) -> None:
    world.box.open("7311")
    world.announce("7311")
    assign(world, 2)

    world.wait()

    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="error_before", side="promotions", route=LISTED, times=3),
        Fault(kind="too_many", side="promotions", route=LISTED, times=2),
        Fault(kind="lost_answer", side="promotions", route=LISTED, times=2),
        Fault(kind="sentence", side="promotions", route=LISTED, times=3),
        Fault(kind="half_answer", side="promotions", route=LISTED, times=2),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_call_that_fails_is_retried(world: World, fault: Fault) -> None:
    assign(world, 3)
    world.box.order(fault)
    open_execution("7311")

    world.wait()

    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 3


def test_eight_invalid_responses_in_a_row_need_review(world: World) -> None:
    assign(world, 3)
    world.box.order(Fault(kind="sentence", side="promotions", route=LISTED, times=None))
    open_execution("7311")

    world.wait()

    found = collection("7311")
    assert (found.state, found.reason) == (
        CollectionState.HELD,
        AssignmentReason.MALFORMED,
    )
    assert listing_calls(world) == 8


def test_invalid_rows_need_review_and_others_are_activated(
    world: World,
) -> None:
    assign(world, 3)
    for row in (
        "a sentence",
        None,
        {"assignmentId": "a1", "status": "Assigned", "promotionId": "promo-17"},
        {"assignmentId": True, "customerId": "C8", "promotionId": "p", "status": "x"},
    ):
        world.box.list_row("7311", row)

    world.announce("7311")

    by_state = Counter(Assignment.objects.values_list("state", flat=True))
    held = Assignment.objects.filter(state=AssignmentState.HELD)
    assert by_state == {AssignmentState.ACTIVE: 3, AssignmentState.HELD: 4}
    assert set(held.values_list("reason", flat=True)) == {AssignmentReason.UNREADABLE}
    assert all(held.values_list("problem", flat=True))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"reward": {**REWARD, "value": float("nan")}},
        {"reward": {**REWARD, "value": float("-inf")}},
        {"customerId": float("nan")},
        {"properties": {"deep": json.loads("[" * 70 + "]" * 70)}},
    ],
    ids=["not a number", "infinite", "no id", "nested too deep"],
)
def test_an_invalid_value_affects_only_its_row(
    world: World, spoilt: dict[str, Any]
) -> None:
    assign(world, 3)
    world.box.assign("7311", "C9", assignment_id="bad", **spoilt)

    world.announce("7311")

    held = Assignment.objects.get(reference="bad")
    assert (held.state, held.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNREADABLE,
    )
    assert len(world.box.credits) == 3


def test_an_unknown_status_affects_only_its_reward(
    world: World,
) -> None:
    assign(world, 2)
    world.box.assign("7311", "C9", status="AwaitingMoon")

    world.announce("7311")

    held = world.assignment("C9")
    assert (held.state, held.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )
    assert "AwaitingMoon" in held.problem
    assert len(world.box.credits) == 2


@pytest.mark.parametrize(
    "status",
    [
        "NotEligible",
        "BudgetExceeded",
        "AudienceCapReached",
        "NoCodeAvailable",
        "Failed",
        "Cancelled",
    ],
)
def test_a_row_that_was_not_assigned_is_stored_and_not_activated(
    world: World, status: str
) -> None:
    world.box.assign("7311", "C1", status=status, reward=None)

    world.announce("7311")

    kept = world.assignment("C1")
    assert kept.state == AssignmentState.VOID
    assert kept.as_assigned["status"] == status
    assert not world.box.credits


def test_a_duplicate_assignment_is_stored_and_needs_review(world: World) -> None:
    world.box.assign("7311", "C1", assignment_id="first")
    world.box.assign("7311", "C1", assignment_id="second")

    world.announce("7311")

    second = Assignment.objects.get(reference="second")
    assert (second.state, second.reason) == (
        AssignmentState.HELD,
        AssignmentReason.REPEATED,
    )
    assert len(world.box.credits) == 1


def test_a_row_on_two_pages_is_one_assignment(small_pages: World) -> None:
    assign(small_pages, 10)
    [row, *_] = small_pages.box.rows("7311")
    small_pages.box.list_row("7311", row)

    small_pages.announce("7311")

    assert len(small_pages.box.credits) == 10
    assert Assignment.objects.count() == 10


def test_customer_ids_may_be_numbers(world: World) -> None:
    world.box.assign("7311", 234638)

    world.announce("7311")

    [credit] = world.box.credits
    assert world.assignment("234638").state == AssignmentState.ACTIVE
    assert credit.customer == "234638"


def test_a_customer_not_listed_yet_is_looked_up_again(world: World) -> None:
    world.box.open("7311")
    world.notify(11, campaignID="7311", customerID="C1")
    world.work()
    world.box.assign("7311", "C1")

    world.wait()

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert Trigger.objects.get().state == TriggerState.DONE


def test_a_customer_who_is_never_listed_needs_review(world: World) -> None:
    world.box.open("7311")
    world.notify(11, campaignID="7311", customerID="C1")

    world.wait()

    held = Trigger.objects.get()
    assert (held.state, held.reason) == (TriggerState.HELD, "NOT_LISTED")


def test_a_second_webhook_waits_for_a_second_assignment(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    contract = tmp_path / "contract.toml"
    built_in = BUILT_IN.read_text()
    contract.write_text(
        built_in.replace("repeats_are_meant = false", "repeats_are_meant = true")
    )
    settings.OPTIMOVE_CONTRACT = str(contract)
    world.box.assign("7311", "C1")
    world.notify(11, campaignID="7311", customerID="C1")
    world.work()
    world.notify(11, campaignID="7311", customerID="C1")
    world.work()

    world.box.assign("7311", "C1")
    world.wait()

    assert len(world.box.credits) == 2
    assert Trigger.objects.get().state == TriggerState.DONE


def test_a_second_webhook_looks_up_the_customer_again(world: World) -> None:
    world.box.open("7311")
    world.notify(11, campaignID="7311", customerID="C1")
    world.wait()
    world.box.assign("7311", "C1")

    world.notify(11, CampaignID=7311, CustomerID="C1")
    world.work()

    assert world.assignment("C1").state == AssignmentState.ACTIVE


def test_an_older_answer_does_not_conclude_a_newer_webhook(
    world: World,
) -> None:
    world.box.assign("7311", "C1")
    world.notify(11, campaignID="7311", customerID="C1")
    world.run_only("read_deliveries")
    with fetch_runs.acquired(Collection.objects.get().execution_id) as found:
        assert found is not None
        question = triggered_lookup.next_query(found.execution, most=10)
        assert question is not None
        with Promotions.from_settings() as client:
            page = client.assignments("7311", customers=question.customers)
        world.notify(11, campaignID="7311", customerID="C1")
        world.run_only("read_deliveries")

        ingest.store(found, page, question.conclude)

    assert Trigger.objects.get().state == TriggerState.WAITING
    assert world.assignment("C1").state == AssignmentState.OWED


def test_a_rejected_customer_id_does_not_affect_others(world: World) -> None:
    for number in range(5):
        world.box.assign("7311", f"C{number}")
        world.notify(11, campaignID="7311", customerID=f"C{number}")
    world.box.order(
        Fault(kind="error_before", side="promotions", route=LISTED, status=400, times=3)
    )

    world.wait()

    assert (
        Trigger.objects.filter(state=TriggerState.HELD, reason="REFUSED").count() <= 1
    )
    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() >= 4


def test_optimoves_rate_limit_is_never_exceeded(
    small_pages: World,
) -> None:
    assign(small_pages, 600)
    open_execution("7311")

    collect.collect()

    assert small_pages.box.rate.refused == 0
    assert 0 < small_pages.box.rate.most <= Priority.COLLECTING
    assert collection("7311").state == CollectionState.COLLECTING


def test_limits_are_checked_before_anything_is_activated(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, 3)

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert (execution.stop, execution.reason) == ("HELD", "OVER_LIMIT")
    assert "3 rewards" in execution.problem
    assert not world.box.credits


def test_listed_pass_is_the_number_of_the_latest_run(world: World) -> None:
    assign(world, 2)
    world.announce("7311")

    world.announce("7311")

    latest = Assignment.objects.aggregate(latest=Max("listed_pass"))["latest"]
    assert latest == collection("7311").finished == 2


@pytest.mark.parametrize("status", [500, 403])
def test_a_list_that_fails_for_days_needs_review(world: World, status: int) -> None:
    world.open("7311")
    Collection.objects.update(failures=fetch_runs.GIVE_UP_AFTER)
    world.box.order(Fault(kind="error_before", side="promotions", status=status))

    collect.collect()

    row = Collection.objects.get()
    assert (row.state, row.reason) == (CollectionState.HELD, AssignmentReason.GIVEN_UP)


def test_a_rejected_api_key_ends_no_run(world: World) -> None:
    world.open("7311")
    Collection.objects.update(failures=fetch_runs.GIVE_UP_AFTER)
    world.box.order(Fault(kind="error_before", side="promotions", status=401))

    collect.collect()

    assert Collection.objects.get().state == CollectionState.COLLECTING


@contextmanager
def first_page(world: World) -> Iterator[tuple[Collection, Page]]:
    """Fetch the first page of a list without saving it."""
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    with fetch_runs.acquired(execution.pk) as taken:
        assert taken is not None
        fetch_runs.begin(taken)
        with Promotions.from_settings() as client:
            yield taken, client.assignments("7311")


def test_a_page_whose_cursor_cannot_be_stored_is_rolled_back(world: World) -> None:
    with first_page(world) as (collection, page), pytest.raises(DataError):
        ingest.store(collection, replace(page, next_cursor="\0"), fetch_runs.advance)

    assert not Assignment.objects.exists()


def test_a_page_does_not_overwrite_a_page_stored_before(world: World) -> None:
    with first_page(world) as (collection, page):
        ingest.store(collection, replace(page, next_cursor="2"), fetch_runs.advance)

        with pytest.raises(state_machine.LostRace):
            ingest.store(collection, replace(page, next_cursor="3"), fetch_runs.advance)

    assert Collection.objects.get().cursor == "2"


def test_a_customer_who_is_listed_late_is_found_by_a_recheck(
    world: World, settings: Settings
) -> None:
    """The list matched its total although a customer was not listed yet."""
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.assign("7311", "C1")
    world.announce("7311")
    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert collection("7311").state == CollectionState.WAITING
    execution = collection("7311").execution
    assert execution.state == ExecutionProgress.ACTIVATING

    world.box.assign("7311", "C2")
    world.wait()
    pipeline.tick()

    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.SETTLED

    assert world.assignment("C2").state == AssignmentState.ACTIVE
    assert collection("7311").state == CollectionState.DONE
    # The third run found the same rows as the second.
    assert collection("7311").number == 3


def test_a_webhook_for_another_channel_does_not_replace_the_recheck(
    world: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.assign("7311", "C1")
    world.announce("7311")
    world.announce("7311")
    assert collection("7311").state == CollectionState.WAITING

    world.box.assign("7311", "C2")
    world.wait()

    assert world.assignment("C2").state == AssignmentState.ACTIVE


def test_a_webhook_during_the_first_run_does_not_replace_the_recheck(
    small_pages: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    assign(small_pages, 15)
    open_execution("7311")
    one_call(small_pages)
    open_execution("7311")
    small_pages.work()
    assert (collection("7311").state, collection("7311").finished) == ("WAITING", 2)

    assign(small_pages, 1, first=15)
    small_pages.wait()

    assert Assignment.objects.filter(state=AssignmentState.ACTIVE).count() == 16


def test_the_same_number_of_other_rows_is_another_list(
    world: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    for customer in ("C1", "C2"):
        world.box.assign("7311", customer)
    world.announce("7311")
    world.box.assign("7311", "C3")
    world.box.order(Fault(kind="shifted_up", side="promotions", seconds=60))
    with Promotions.from_settings() as client:
        client.assignments("7311")  # Optimove omits the first row from now on

    world.let_time_come()
    world.work()

    assert collection("7311").number == collection("7311").seen == 2
    assert collection("7311").state == CollectionState.WAITING


def test_a_triggered_customer_does_not_wait_for_the_recheck(
    world: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.assign("7311", "C1")
    world.announce("7311")
    world.box.assign("7311", "C2")

    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C2")
    world.work()

    assert world.assignment("C2").state == AssignmentState.ACTIVE
    assert collection("7311").state == CollectionState.WAITING


def test_a_run_that_misses_a_customer_is_followed_by_another(
    world: World, settings: Settings
) -> None:
    """Otherwise the reconciliation would show a mismatch for an activated reward."""
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    for customer in ("C1", "C2"):
        world.box.assign("7311", customer)
    world.announce("7311")
    world.box.order(Fault(kind="listed_late", side="promotions", seconds=0))

    world.wait()

    assert not world.box.faults
    assert collection("7311").state == CollectionState.DONE
    assert world.reconcile("7311").listed == 2
    assert world.reconcile("7311").drift == 0


def test_a_list_that_always_changes_is_rechecked_a_limited_number_of_times(
    world: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.assign("7311", "C0")
    world.announce("7311")
    for late in range(1, fetch_runs.MAX_RECHECKS + 2):
        world.box.assign("7311", f"C{late}")
        world.let_time_come()
        world.work()

    assert collection("7311").state == CollectionState.DONE
    assert collection("7311").number == fetch_runs.MAX_RECHECKS


def test_a_second_announcement_starts_new_rechecks(
    world: World, settings: Settings
) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(seconds=60)
    world.box.assign("7311", "C1")
    for _ in range(2):
        world.announce("7311")
        world.wait()

    assert collection("7311").number == 4


def test_triggered_customers_do_not_delay_a_list(world: World) -> None:
    assign(world, 3)
    open_execution("7311")
    calls = 0
    while not collection("7311").finished and calls < 9:
        world.box.assign("7400", f"T{calls}")
        add_triggers("7400", [(f"T{calls}", None)])
        one_call(world, list_first=calls % 2 == 1)
        calls += 1

    assert calls == 2
    assert Assignment.objects.filter(execution__reference="7311").count() == 3


def test_triggered_customers_do_not_delay_the_list_of_their_execution(
    world: World,
) -> None:
    open_execution("7400")
    world.box.assign("7400", "T1")
    add_triggers("7400", [("T1", None)])

    one_call(world, list_first=True)

    assert collection("7400").pages == 1
    assert Trigger.objects.get().state == TriggerState.WAITING


def test_a_customer_looked_up_during_a_run_counts_as_seen(
    small_pages: World,
) -> None:
    assign(small_pages, 15)
    open_execution("7311")
    one_call(small_pages)
    add_triggers("7311", [("C14", None)])
    one_call(small_pages)

    small_pages.work()

    found = collection("7311")
    assert (found.state, found.restarts, found.seen) == (CollectionState.DONE, 0, 15)
    assert found.number == 1


def test_a_stopped_list_is_completed_after_a_trigger(
    small_pages: World,
) -> None:
    assign(small_pages, 15)
    open_execution("7311")
    one_call(small_pages)
    collection("7311").move(
        CollectionState.HELD,
        reason=AssignmentReason.INCOMPLETE,
        problem="There are more.",
    )
    add_triggers("7311", [("C1", None)])

    small_pages.work()

    found = collection("7311")
    assert (found.state, found.reason) == (CollectionState.DONE, "")
    assert Assignment.objects.count() == 15


def test_an_incomplete_list_is_fetched_again_some_seconds_later(world: World) -> None:
    assign(world, 3)
    world.box.order(Fault(kind="wrong_total", side="promotions", by=2))
    open_execution("7311")

    one_call(world)

    assert collection("7311").restarts == 1
    assert Collection.objects.filter(not_before__gt=seconds_from_now(3)).exists()
