"""Look-ups of triggered customers: every page is kept, and every customer is separate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from executions.lifecycle import add_triggers
from executions.models import Execution, Trigger, TriggerState
from promoportal import wire
from promoportal.admin.links import page_of
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Promotions, rate_limiter
from promoportal.optimove.rate_limiter import Allowance, Priority
from promoportal.optimove.throttle import Throttled
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Breaker, Side
from rewards.collection import collect, fetch_runs, ingest, triggered_lookup
from rewards.models import Assignment, Collection, Lookup
from tests.conftest import Agree
from tests.rewards.collection import customer_lists
from tests.rewards.collection.customer_lists import CustomerLists
from tests.staff_client import StaffClient
from tests.world import World


@pytest.fixture
def lists(world: World, settings: Settings) -> Iterator[CustomerLists]:
    """Optimove's answers for customers, from a server on a real socket."""
    with customer_lists.serving() as (lists, address):
        settings.OPTIMOVE_PROMOTIONS_URL = address
        yield lists


def trigger(lists: CustomerLists, count: int, occurrence: str = "7311") -> Execution:
    customers = [f"C{number}" for number in range(count)]
    for customer in customers:
        if customer not in lists.rows:
            lists.assign(customer)
    return add_triggers(occurrence, [(customer, None) for customer in customers])


def calls(number: int) -> None:
    """Make this number of calls, each as a worker that then stops."""
    Allowance.objects.all().delete()  # the rate limit is no part of these tests
    for _ in range(number):
        execution = collect.due_executions().first()
        assert execution is not None
        with Promotions.from_settings() as client:
            collect.collect_from(execution, client)


def finish(world: World) -> None:
    """Fetch until nothing waits any more, and let the time pass for all waiting rows."""
    for _ in range(400):
        world.let_time_come()
        Allowance.objects.all().delete()
        if not collect.due_executions().exists():
            return
        collect.collect()
    raise AssertionError("There is always more to fetch.")


def fetch() -> None:
    """Fetch what is due now."""
    while collect.due_executions().exists():
        calls(1)


def leave_calls(count: int) -> None:
    """Let a new window begin, in which other calls leave this number of calls."""
    Allowance.objects.all().delete()
    while rate_limiter.remaining(Priority.COLLECTING) > count:
        rate_limiter.acquire(Priority.COLLECTING)


def listed() -> int:
    return Trigger.objects.filter(state=TriggerState.DONE).count()


def test_each_page_of_a_look_up_is_kept(lists: CustomerLists) -> None:
    trigger(lists, 35)

    calls(2)

    assert Assignment.objects.count() == 20
    assert listed() == 0


def test_a_look_up_resumes_at_the_page_after_the_last_stored_one(
    lists: CustomerLists,
) -> None:
    trigger(lists, 35)
    calls(2)

    fetch()

    assert [cursor for _, cursor in lists.calls] == ["", "10", "20", "30"]
    assert (listed(), Assignment.objects.count()) == (35, 35)


def test_a_look_up_that_is_throttled_between_two_pages_resumes(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 35)
    calls(1)
    circuit_breaker.trip(Side.VENDOR, wire.Misconfigured("Wait."))
    with pytest.raises(Throttled):
        calls(1)

    finish(world)

    assert len(lists.calls) == 4
    assert listed() == 35


def test_a_legitimate_answer_may_have_many_pages(
    lists: CustomerLists, world: World
) -> None:
    pages = fetch_runs.MAX_PAGES_WITHOUT_NEW_ROWS + 3
    lists.page_size = 1
    trigger(lists, pages)

    finish(world)

    assert listed() == len(lists.calls) == pages


def test_one_failing_customer_does_not_keep_others_waiting(
    lists: CustomerLists,
) -> None:
    trigger(lists, 100)
    lists.page_size = 1000
    lists.failing["C37"] = customer_lists.status(500)

    fetch()

    assert listed() == 99
    assert len(lists.calls) <= 1 + 2 * 7
    assert not circuit_breaker.is_open(Side.VENDOR)


def test_each_page_is_requested_once_however_often_calls_are_throttled(
    lists: CustomerLists,
) -> None:
    """Each time, the rate limit runs out between the pages of several executions."""
    for occurrence in ("7311", "7312", "7313", "7314", "7315", "7316"):
        trigger(lists, 12, occurrence)
    lists.page_size = 2

    while collect.due_executions().exists():
        leave_calls(5)
        collect.collect()

    assert len(lists.calls) == 6 * 6
    assert listed() == 6 * 12


def test_a_customer_may_be_on_several_pages(lists: CustomerLists) -> None:
    lists.assign("C0", 25)
    trigger(lists, 2)
    add_triggers("7311", [("unlisted", None)])

    fetch()

    assert Assignment.objects.filter(customer="C0").count() == 25
    assert listed() == 2
    assert Trigger.objects.get(customer="unlisted").attempts == 1


def test_a_worker_that_lost_its_lease_stores_no_page_of_a_look_up(
    lists: CustomerLists, world: World
) -> None:
    execution = trigger(lists, 15)
    with fetch_runs.acquired(execution.pk) as stale:
        assert stale is not None
        query = triggered_lookup.next_query(execution, most=100)
        assert query is not None
        with Promotions.from_settings() as client:
            page = client.assignments("7311", customers=query.customers)
        finish(world)

        with pytest.raises(LostRace):
            ingest.store(stale, page, query.conclude)

    assert not Lookup.objects.exists()
    assert listed() == 15


def test_a_customer_announced_during_a_look_up_is_looked_up_again(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 15)
    calls(1)
    add_triggers("7311", [("C3", None)])

    calls(1)
    assert Trigger.objects.get(state=TriggerState.WAITING).customer == "C3"
    finish(world)

    assert lists.calls[-1] == (("C3",), "")
    assert listed() == 15


def test_all_customers_may_be_announced_again_during_a_look_up(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 15)
    calls(1)
    add_triggers("7311", [(f"C{number}", None) for number in range(15)])

    finish(world)

    assert listed() == 15


def promotions() -> set[str]:
    found = Assignment.objects.values_list("promotion__reference", flat=True)
    return {reference or "" for reference in found}


@pytest.mark.parametrize("first", [1, 2])
def test_a_reward_is_found_that_optimove_lists_late_after_a_further_announcement(
    lists: CustomerLists, world: World, first: int
) -> None:
    """The row of an earlier announcement is listed at once."""
    lists.assign("C0", first)
    trigger(lists, 1)
    finish(world)
    trigger(lists, 1)
    calls(1)

    lists.assign("C0")
    finish(world)

    assert f"promo-{first}" in promotions()
    assert listed() == 1


def test_both_rewards_are_found_of_two_announcements_before_the_first_look_up(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 1)
    trigger(lists, 1)
    calls(1)

    lists.assign("C0")
    finish(world)

    assert promotions() == {"promo-0", "promo-1"}
    assert listed() == 1


def test_a_late_reward_is_found_if_a_list_had_another_one_before_the_announcement(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 1)
    finish(world)
    Trigger.objects.all().delete()
    trigger(lists, 1)
    calls(1)

    lists.assign("C0")
    finish(world)

    assert promotions() == {"promo-0", "promo-1"}


def test_an_announcement_that_arrives_twice_ends_without_review(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 1)
    finish(world)
    trigger(lists, 1)
    lists.calls.clear()

    finish(world)

    assert listed() == 1
    assert len(lists.calls) == 1 + triggered_lookup.MAX_FAILURES_TOGETHER


def test_a_customer_with_a_new_reward_is_not_looked_up_again(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 1)
    finish(world)
    lists.assign("C0")
    trigger(lists, 1)
    lists.calls.clear()

    finish(world)

    assert listed() == len(lists.calls) == 1


def test_known_rows_are_no_circle(lists: CustomerLists, world: World) -> None:
    pages = fetch_runs.MAX_PAGES_WITHOUT_NEW_ROWS + 2
    trigger(lists, pages)
    finish(world)
    lists.page_size = 1
    lists.calls.clear()
    trigger(lists, pages)

    finish(world)

    assert listed() == pages
    assert len(lists.calls) == pages * (1 + triggered_lookup.MAX_FAILURES_TOGETHER)


@pytest.mark.parametrize("next_cursor", [str, None], ids=["same", "new"])
def test_a_circle_of_pages_needs_review(
    lists: CustomerLists,
    world: World,
    next_cursor: Callable[[int], str] | None,
) -> None:
    """Optimove may repeat a cursor, or send the same pages with new cursors."""
    number = itertools.count()
    lists.next_cursor = next_cursor or (lambda row: f"{next(number)}#{row}")
    lists.circle = 0
    trigger(lists, 15)

    finish(world)

    held = Trigger.objects.filter(state=TriggerState.HELD, reason="MALFORMED")
    assert held.count() == 15
    assert "circle" in held[0].problem
    assert not Lookup.objects.exists()
    assert Assignment.objects.filter(cleared=True).count() == 15


def test_a_rejected_cursor_restarts_the_look_up(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 25)
    calls(1)
    lists.by_cursor["10"] = customer_lists.status(400)
    calls(1)
    assert "400" in Collection.objects.get().problem
    lists.by_cursor.clear()

    finish(world)

    assert [cursor for _, cursor in lists.calls] == ["", "10", "", "10", "20"]
    assert listed() == 25


def test_a_cursor_that_is_always_rejected_needs_review(
    lists: CustomerLists, world: World
) -> None:
    lists.by_cursor["10"] = customer_lists.status(400)
    trigger(lists, 25)
    trigger(lists, 5, "7312")

    finish(world)

    assert Trigger.objects.filter(reason="MALFORMED").count() == 25
    assert listed() == 5
    assert len(lists.calls) == 2 * (1 + fetch_runs.MAX_RESTARTS) + 1


def test_a_look_up_of_too_many_customers_starts_again(
    lists: CustomerLists, world: World, agree: Agree
) -> None:
    """The contract file was changed while the pages of an answer were fetched."""
    trigger(lists, 25)
    calls(1)

    agree(("customers_per_call = 1000", "customers_per_call = 10"))
    finish(world)

    assert listed() == 25


def test_a_cursor_of_another_kind_of_paging_starts_again(
    lists: CustomerLists, world: World, agree: Agree
) -> None:
    lists.next_cursor = lambda row: f"token#{row}"
    trigger(lists, 25)
    calls(1)

    agree(('by = "token"', 'by = "skip"'))
    finish(world)

    assert listed() == 25


def test_a_limit_holds_between_the_pages_of_a_look_up(
    lists: CustomerLists, world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["24"]
    execution = trigger(lists, 25)
    calls(2)
    assert Assignment.objects.filter(cleared=False).count() == 20

    fetch()

    execution.refresh_from_db()
    assert (execution.stop, execution.reason) == ("HELD", "OVER_LIMIT")
    assert not Assignment.objects.filter(cleared=True).exists()


def test_rows_of_a_look_up_that_is_divided_do_not_wait(
    lists: CustomerLists, world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["1000"]
    trigger(lists, 25)
    lists.by_cursor["10"] = customer_lists.status(500)
    calls(2)

    assert Assignment.objects.filter(cleared=True).count() == 10


def test_a_page_that_failed_once_is_requested_again(
    lists: CustomerLists, world: World
) -> None:
    trigger(lists, 25)
    calls(1)
    lists.by_cursor["10"] = customer_lists.status(500)
    calls(1)
    lists.by_cursor.clear()

    finish(world)

    assert [cursor for _, cursor in lists.calls] == ["", "10", "10", "20"]


def test_the_page_of_an_execution_shows_a_look_up_in_progress(
    lists: CustomerLists, crm: StaffClient
) -> None:
    execution = trigger(lists, 35)
    calls(2)

    shown = crm.get(page_of(execution)).content.decode()

    assert "35 triggered customers are being looked up: 2 pages so far." in shown


CAUSES = {
    "500": customer_lists.status(500),
    "502": customer_lists.status(502),
    "409": customer_lists.status(409),
    "400": customer_lists.status(400),
    "no answer": customer_lists.no_answer,
    "no JSON": customer_lists.text(b"<html>"),
    "no page": customer_lists.text(b'"Bad Request"'),
    "another execution": customer_lists.text(b'{"occurrenceId": 1, "assignments": []}'),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_failing_customer_is_separated_whatever_the_failure(
    lists: CustomerLists, cause: str
) -> None:
    lists.page_size = 1000
    trigger(lists, 20)
    lists.failing["C7"] = CAUSES[cause]

    fetch()

    other = Trigger.objects.exclude(state=TriggerState.DONE).get()
    assert (other.customer, bool(other.problem)) == ("C7", True)
    assert len(lists.calls) <= 1 + 2 * 5
    assert not circuit_breaker.is_open(Side.VENDOR)
    assert not Breaker.objects.filter(failures__gt=0).exists()


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("500", "GIVEN_UP"), ("400", "REFUSED"), ("no page", "MALFORMED")],
)
def test_a_customer_who_always_fails_needs_review(
    lists: CustomerLists, world: World, cause: str, reason: str
) -> None:
    trigger(lists, 3)
    lists.failing["C1"] = CAUSES[cause]
    fetch()
    Trigger.objects.filter(failures__gt=0).exclude(reason="REFUSED").update(
        failures={"GIVEN_UP": 300, "MALFORMED": 7}.get(reason, 1)
    )

    finish(world)

    held = Trigger.objects.get(state=TriggerState.HELD)
    assert (held.customer, held.reason) == ("C1", reason)
    assert held.problem


def test_a_customer_who_recovers_is_found(lists: CustomerLists, world: World) -> None:
    trigger(lists, 3)
    lists.failing["C1"] = customer_lists.status(500)
    fetch()
    lists.failing.clear()

    finish(world)

    found = Trigger.objects.get(customer="C1")
    assert (found.state, found.failures, found.batch_limit) == ("DONE", 0, None)
    assert not found.problem


def test_many_failing_customers_do_not_keep_others_waiting(
    lists: CustomerLists,
) -> None:
    lists.page_size = 1000
    trigger(lists, 16)
    for number in range(0, 16, 4):
        lists.failing[f"C{number}"] = customer_lists.status(500)

    while collect.due_executions().exists():
        calls(1)
        Collection.objects.update(not_before=Now())

    assert listed() == 12
    assert len(lists.calls) < 32
    assert not circuit_breaker.is_open(Side.VENDOR)


def test_failing_customers_do_not_pause_calls_for_others(
    lists: CustomerLists,
) -> None:
    """Each execution has one failing customer, and is due at the same time."""
    for number in range(20):
        trigger(lists, 2, str(7300 + number))
    lists.failing["C0"] = customer_lists.status(500)
    while collect.due_executions().exists():
        Allowance.objects.all().delete()
        collect.collect()
        assert not circuit_breaker.is_open(Side.VENDOR)
    assert listed() == 20

    Trigger.objects.update(not_before=Now())
    fetch()

    assert not circuit_breaker.is_open(Side.VENDOR)
    assert not Collection.objects.filter(not_before__gt=Now()).exists()


def test_an_outage_opens_the_circuit_breaker_and_divides_little(
    lists: CustomerLists, world: World
) -> None:
    lists.page_size = 1000
    trigger(lists, 200)
    lists.always = customer_lists.status(500)
    while not circuit_breaker.is_open(Side.VENDOR) and len(lists.calls) < 50:
        Collection.objects.update(not_before=Now())
        calls(1)
    assert len(lists.calls) <= 15

    lists.always = None
    before = len(lists.calls)
    finish(world)

    assert listed() == 200
    assert len(lists.calls) - before <= 12


@pytest.mark.parametrize("status", [429, 503, 401, 403])
def test_customers_are_not_divided_if_no_customer_is_the_cause(
    lists: CustomerLists, status: int
) -> None:
    trigger(lists, 20)
    lists.always = customer_lists.status(status)

    calls(1)

    assert not Trigger.objects.exclude(batch_limit=None).exists()
    assert not Trigger.objects.filter(failures__gt=0).exists()
    assert Collection.objects.filter(not_before__gt=Now()).exists()


def test_customers_are_not_divided_if_optimove_cannot_be_reached(
    world: World, settings: Settings
) -> None:
    settings.OPTIMOVE_PROMOTIONS_URL = "http://127.0.0.1:9"
    add_triggers("7311", [("C1", None), ("C2", None)])

    calls(1)

    assert not Trigger.objects.exclude(batch_limit=None).exists()
    assert "could not be reached" in Collection.objects.get().problem


def test_a_customer_announced_again_is_looked_up_alone_at_once(
    lists: CustomerLists,
) -> None:
    lists.page_size = 1000
    trigger(lists, 4)
    lists.failing["C1"] = customer_lists.status(500)
    fetch()
    lists.failing.clear()

    add_triggers("7311", [("C1", None), ("C9", None)])
    calls(1)

    assert lists.calls[-1][0] in {("C1",), ("C9",)}
