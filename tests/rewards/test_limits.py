"""Spending limits of the operator, in every way that Optimove assigns rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from executions import lifecycle
from executions.lifecycle import open_execution
from executions.locks import lock_shared
from executions.models import Execution, ExecutionStop
from promoportal.db import bulk, row_versions
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.sandbox import Fault, Options
from rewards import decisions
from rewards import limits as limits_of
from rewards.collection import collect, fetch_runs, ingest, triggered_lookup
from rewards.limits import BATCH_SIZE
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    CollectionState,
    Tally,
)
from tests.conftest import Agree
from tests.factories import AssignmentFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.rewards.collection.test_changes import row
from tests.world import World

TEN = {"category": "Amount", "type": "BonusCash", "value": "10", "currency": "EUR"}


def assign(world: World, *customers: str, value: str = "10") -> None:
    for customer in customers:
        world.box.assign("7311", customer, reward={**TEN, "value": value})


def test_over_the_value_limit_nothing_is_activated(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=25"]
    assign(world, "C1", "C2", "C3")

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert "30.000000 EUR were assigned; the limit is 25." in execution.problem
    assert not world.box.credits


def test_within_the_limits_everything_is_activated(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=30"]
    settings.LIMIT_CUSTOMERS = ["3"]
    assign(world, "C1", "C2", "C3")

    world.announce("7311")

    assert len(world.box.credits) == 3


def test_several_small_runs_cannot_exceed_a_limit(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2")
    world.announce("7311")
    assign(world, "C3")

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert len(world.box.credits) == 2


def test_triggered_customers_count_together(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    for customer in ("C1", "C2", "C3"):
        assign(world, customer)
        world.notify(11, campaignID="7311", customerID=customer)
        world.work()

    assert len(world.box.credits) == 2
    assert Execution.objects.get().stop == ExecutionStop.HELD


def test_staff_resume_an_execution_over_its_limit(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()

    lifecycle.resume(execution, by=None, why="It was meant.")
    world.work()

    assert len(world.box.credits) == 3


def test_the_sentence_of_a_stopped_execution_follows_its_figures(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    assign(world, "C4", "C5")

    world.announce("7311")
    execution.refresh_from_db()
    more = execution.problem
    for reference in Assignment.objects.values_list("reference", flat=True)[:3]:
        world.box.change("7311", reference, status="Cancelled")
    world.announce("7311")

    execution.refresh_from_db()
    assert more == "5 rewards were assigned; the limit is 2."
    assert execution.problem == "The rewards are within the limits now."
    assert execution.stop == ExecutionStop.HELD


def test_a_resume_compares_the_figures_under_the_lock(
    world: World, settings: Settings
) -> None:
    """A run of the list may store a page after the page of the portal was opened."""
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()
    seen = {execution.pk: row_versions.version(execution)}
    Tally.objects.update(customers=500)

    with pytest.raises(LostRace):
        lifecycle.resume(execution, by=None, why="Three were meant.", seen=seen)
    world.work()

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert not world.box.credits


def test_rewards_after_a_resume_are_checked_again(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()
    lifecycle.resume(execution, by=None, why="It was meant.")
    world.work()
    assign(world, "C4")

    world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert len(world.box.credits) == 3


def test_a_reward_over_the_limit_for_one_needs_review_alone(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_REWARD = ["EUR=50"]
    assign(world, "C1")
    assign(world, "C2", value="5000")

    world.announce("7311")

    held = world.assignment("C2")
    assert (held.state, held.reason) == (
        AssignmentState.HELD,
        AssignmentReason.OVER_LIMIT,
    )
    assert len(world.box.credits) == 1


def test_rewards_that_were_not_released_cannot_be_claimed(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    world.collect("7311")
    Execution.objects.update(stop=ExecutionStop.NONE)

    world.run_activation()

    assert not world.box.credits


def test_rewards_assigned_later_wait_for_the_end_of_the_run(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    world.box.reset(Options(largest_page=2))
    rows = [world.box.assign("7311", f"C{n}", status="NotEligible") for n in range(4)]
    world.announce("7311")
    for reference in rows:
        world.box.change("7311", reference, status="Assigned", reward=TEN)
    execution = open_execution("7311")
    with Promotions.from_settings() as client:
        collect.collect_from(execution, client, Priority.COLLECTING)

    world.run_activation()

    assert Collection.objects.get().state == CollectionState.COLLECTING
    assert Assignment.objects.filter(state=AssignmentState.OWED).exists()
    assert not world.box.credits


def test_approved_rewards_wait_for_the_end_of_the_run(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    settings.LIMIT_REWARD = ["EUR=5"]
    world.box.reset(Options(largest_page=2))
    rows = [world.box.assign("7311", f"C{n}", status="NotEligible") for n in range(4)]
    world.announce("7311")
    for reference in rows:
        world.box.change("7311", reference, status="Assigned", reward=TEN)
    execution = open_execution("7311")
    with Promotions.from_settings() as client:
        collect.collect_from(execution, client, Priority.COLLECTING)

    held = Assignment.objects.filter(reason=AssignmentReason.OVER_LIMIT)
    decided = decisions.release(held, by=None, why="So much is meant.")
    world.run_activation()

    assert decided.done == 2
    assert not world.box.credits


def test_a_large_run_is_released_in_batches(settings: Settings, world: World) -> None:
    settings.LIMIT_CUSTOMERS = ["1000000"]
    assign(world, "C1")
    like = world.collect("7311")
    many = [{"reference": f"R{n}", "customer": f"D{n}"} for n in range(2 * BATCH_SIZE)]
    bulk.bulk_insert(
        Assignment,
        many,
        execution=like,
        as_assigned={},
        state=AssignmentState.OWED,
        cleared=False,
    )

    limits_of.check_run(Collection.objects.get())
    at_first = Assignment.objects.filter(cleared=True).count()
    world.run_jobs()

    assert at_first == 1 + BATCH_SIZE
    assert not Assignment.objects.filter(cleared=False).exists()
    assert not limits_of.is_due()


def test_rows_stored_during_a_release_are_not_released_with_it(
    db: None, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["1"]
    old = AssignmentFactory(cleared=False, state=AssignmentState.OWED)
    Collection.objects.create(execution=old.execution, cleared_to=old.pk)
    fresh = AssignmentFactory(
        execution=old.execution, cleared=False, state=AssignmentState.OWED
    )

    limits_of.release_admitted()

    assert list(Assignment.objects.filter(cleared=False)) == [fresh]


@contextmanager
def fetched(
    execution: Execution, *, asked: bool = False
) -> Iterator[Callable[[], None]]:
    """Yield a function that stores Optimove's list, as a page or as a look-up."""
    open_execution(execution.reference)
    with fetch_runs.acquired(execution.pk) as collection:
        assert collection
        fetch_runs.begin(collection)
        with Promotions.from_settings() as client:
            page = client.assignments(execution.reference)
        no_customers = triggered_lookup.CustomerQuery([])
        conclude = no_customers.conclude if asked else fetch_runs.advance
        yield partial(ingest.store, collection, page, conclude)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("asked", [False, True], ids=["a page", "an answer"])
def test_holding_an_execution_and_activating_do_not_deadlock(
    world: World, settings: Settings, asked: bool
) -> None:
    settings.LIMIT_CUSTOMERS = ["1"]
    assign(world, "C1")
    execution = world.collect("7311")
    changed = Assignment.objects.filter(customer="C1")
    changed.update(vendor_status="Promised")
    assign(world, "C2")

    with (
        fetched(execution, asked=asked) as save,
        elsewhere() as giving,
        elsewhere() as listing,
    ):
        giving.begin()
        giving.do(lambda: lock_shared(execution.pk))
        saving = listing.start(save)
        assert waits(saving)
        giving.do(lambda: list(changed.select_for_update()))
        giving.commit()
        patiently(saving)

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("most", "largest_page"),
    [(["9"], 1), ([], 10)],
    ids=["another page follows", "no limits"],
)
def test_a_page_that_cannot_hold_an_execution_does_not_wait_for_workers(
    world: World, settings: Settings, most: list[str], largest_page: int
) -> None:
    settings.LIMIT_CUSTOMERS = most
    world.box.reset(Options(largest_page=largest_page))
    assign(world, "C1", "C2")
    execution = world.collect("7311")

    with fetched(execution) as save, elsewhere() as giving, elsewhere() as listing:
        giving.begin()
        giving.do(lambda: lock_shared(execution.pk))

        patiently(listing.start(save))


def test_a_page_stored_again_is_counted_once(world: World) -> None:
    assign(world, "C1", "C2")
    world.announce("7311")

    world.announce("7311")

    [tally] = Tally.objects.all()
    assert (tally.customers, tally.value) == (2, Decimal(20))
    assert Assignment.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMIT_CUSTOMERS", ["many"]),
        ("LIMIT_CUSTOMERS", ["1", "2"]),
        ("LIMIT_VALUE", ["EUR"]),
        ("LIMIT_VALUE", ["EUR=lots"]),
        ("LIMIT_REWARD", ["EUR=-5"]),
        ("LIMIT_REWARD", ["=5"]),
    ],
)
def test_an_invalid_limit_is_named(
    settings: Settings, name: str, value: list[str]
) -> None:
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        limits_of.current()


def list_before_the_contract_knows(world: World, what: str, count: int) -> None:
    """List rewards of ten EUR that are invalid until the contract file is corrected."""
    unread: dict[str, Any] = {
        "status": {"status": "Promised", "reward": TEN},
        "value": {"reward": {**TEN, "value": None, "worth": "10"}},
    }
    for number in range(count):
        listed = row(f"A{number}", customer=f"C{number}")
        world.box.list_row("7311", listed | unread[what])
    world.announce("7311")
    assert Assignment.objects.filter(state=AssignmentState.HELD).count() == count


@pytest.fixture
def correct(agree: Agree) -> Callable[[str], None]:
    known = 'Assigned = "activate" '
    changes = {
        "status": (known, f'Promised = "activate"\n{known}'),
        "value": ('value = "reward.value"', 'value = "reward.worth"'),
    }
    return lambda what: agree(changes[what])


unreadable = pytest.mark.parametrize("what", ["status", "value"])


@unreadable
@pytest.mark.parametrize("retry", [decisions.retry, decisions.retry_together])
def test_retried_rows_with_valid_data_now_are_checked_by_the_limits(
    world: World,
    settings: Settings,
    correct: Callable[[str], None],
    what: str,
    retry: Callable[..., object],
) -> None:
    settings.LIMIT_VALUE = ["EUR=25"]
    list_before_the_contract_knows(world, what, 10)
    correct(what)

    retry(Assignment.objects.all(), by=None, why="The contract is mended.")
    world.work()

    execution = Execution.objects.get()
    assert execution.stop == ExecutionStop.HELD
    assert execution.problem == "100.000000 EUR were assigned; the limit is 25."
    assert not world.box.credits

    lifecycle.resume(execution, by=None, why="It was meant.")
    world.work()
    assert len(world.box.credits) == 10


@unreadable
@pytest.mark.parametrize(
    ("most", "before"), [("5", True), ("99", False)], ids=["too much", "not checked"]
)
def test_retried_rows_over_a_limit_cannot_be_claimed(
    world: World,
    settings: Settings,
    correct: Callable[[str], None],
    what: str,
    most: str,
    before: bool,
) -> None:
    settings.LIMIT_VALUE = [f"EUR={most}"]
    list_before_the_contract_knows(world, what, 1)
    Assignment.objects.update(cleared=before)
    correct(what)

    decisions.retry(Assignment.objects.all(), by=None, why="It is mended.")
    Execution.objects.update(stop=ExecutionStop.NONE)
    world.run_activation()

    assert Assignment.objects.get().state == AssignmentState.OWED
    assert not world.box.credits


@unreadable
@pytest.mark.parametrize("by", ["a person", "the next run"])
def test_rows_that_become_valid_are_counted_once(
    world: World, correct: Callable[[str], None], what: str, by: str
) -> None:
    list_before_the_contract_knows(world, what, 3)
    correct(what)

    if by == "a person":
        decisions.retry(Assignment.objects.all(), by=None, why="It is mended.")
    world.announce("7311")

    tallies = Tally.objects.filter(customers__gt=0)
    found = tallies.values_list("unit", "customers", "value")
    assert list(found) == [("EUR", 3, Decimal(30))]
    assert len(world.box.credits) == 3


def change(world: World, *, sent: bool) -> Assignment:
    """Hold a reward of ten EUR that Optimove changed to 99 EUR."""
    reference = world.box.assign("7311", "C1", reward=TEN)
    world.collect("7311")
    if sent:
        refused = Fault(kind="too_many", side="platform")
        world.box.order(refused)
        world.run_activation()
        Assignment.objects.update(order={"customerId": "C1"})
    world.box.change("7311", reference, reward={**TEN, "value": "99"})
    world.collect("7311")
    return world.assignment("C1")


once_sent = pytest.mark.parametrize("sent", [False, True], ids=["new", "sent once"])


@once_sent
def test_an_approved_change_is_checked_by_the_reward_limit(
    world: World, settings: Settings, sent: bool
) -> None:
    settings.LIMIT_REWARD = ["EUR=50"]
    change(world, sent=sent)
    rows = Assignment.objects.all()

    first = decisions.release(rows, by=None, why="The new one is right.")
    world.work()

    held = world.assignment("C1")
    assert (first.done, held.reason) == (0, AssignmentReason.OVER_LIMIT)
    assert (str(held.value), len(world.box.credits)) == ("99.000000", 0)

    decisions.release(rows, by=None, why="So much is meant.")
    world.work()
    assert [str(credit.value) for credit in world.box.credits] == ["99"]


@once_sent
def test_an_approved_change_is_checked_by_the_execution_limits(
    world: World, settings: Settings, sent: bool
) -> None:
    settings.LIMIT_VALUE = ["EUR=60"]
    row = change(world, sent=sent)
    if row.execution.stop == ExecutionStop.HELD:
        lifecycle.resume(row.execution, by=None, why="Ten were meant.")
        Collection.objects.update(waived={})

    decisions.release(Assignment.objects.all(), by=None, why="The new one is right.")
    world.work()

    execution = Execution.objects.get()
    assert execution.stop == ExecutionStop.HELD
    assert "99.000000 EUR were assigned; the limit is 60." in execution.problem
    assert not world.box.credits


@once_sent
def test_a_tally_follows_the_value_of_a_reward(world: World, sent: bool) -> None:
    change(world, sent=sent)

    decisions.release(Assignment.objects.all(), by=None, why="The new one is right.")
    world.work()

    [tally] = Tally.objects.all()
    assert (tally.customers, tally.value) == (1, Decimal(99))
    assert [str(credit.value) for credit in world.box.credits] == ["99"]


def test_a_tally_of_the_previous_release_never_becomes_negative(
    world: World,
) -> None:
    """The previous release did not follow changes of the value and the unit."""
    reference = world.box.assign("7311", "C1", reward=TEN)
    world.collect("7311")
    Assignment.objects.update(unit="USD", value=77)
    world.box.change("7311", reference, reward={**TEN, "value": "99"})

    world.collect("7311")

    found = dict(Tally.objects.values_list("unit", "value"))
    assert found == {"EUR": 109, "USD": 0}


def bad_list(kind: str, **more: Any) -> Fault:
    return Fault(kind=kind, side="promotions", route="v1/customerAssignments", **more)


@pytest.mark.parametrize(
    ("fault", "listed"),
    [
        (bad_list("wrong_total", by=2, times=None), 3),
        (bad_list("error_before", status=400, skip=1, times=1), 2),
    ],
    ids=["a total that is never true", "a cursor that is refused once more"],
)
@pytest.mark.parametrize("most", ["99", "2", "1"])
def test_an_incomplete_list_is_activated_within_the_limits(
    world: World, settings: Settings, fault: Fault, listed: int, most: str
) -> None:
    settings.LIMIT_CUSTOMERS = [most]
    world.box.reset(Options(largest_page=2))
    assign(world, "C1", "C2", "C3")
    world.box.order(fault)
    execution = world.open("7311")
    with Promotions.from_settings() as client:
        collect.collect_from(execution, client, Priority.COLLECTING)
    Collection.objects.update(restarts=fetch_runs.MAX_RESTARTS)

    world.work()

    assert Collection.objects.get().reason == AssignmentReason.INCOMPLETE
    assert len(world.box.credits) == (listed if most == "99" else 0)
    is_held = Execution.objects.get().stop == ExecutionStop.HELD
    # Each row that Optimove counted and did not list may be a reward.
    assert is_held == (most != "99")


@pytest.mark.parametrize(
    ("limit", "listed"), [("EUR", "eur"), ("eur", "EUR"), ("Eur", "eUR")]
)
@pytest.mark.parametrize("kind", ["LIMIT_VALUE", "LIMIT_REWARD"])
def test_a_limit_applies_to_its_unit_in_any_case(
    world: World, settings: Settings, kind: str, limit: str, listed: str
) -> None:
    setattr(settings, kind, [f"{limit}=15"])
    world.box.assign("7311", "C1", reward={**TEN, "currency": listed, "value": "20"})

    world.announce("7311")

    assert not world.box.credits


def test_a_unit_in_two_spellings_has_one_sum(world: World, settings: Settings) -> None:
    settings.LIMIT_VALUE = ["EUR=15"]
    for currency in ("EUR", "eur"):
        world.box.assign("7311", f"C{currency}", reward={**TEN, "currency": currency})

    execution = world.announce("7311")
    execution.refresh_from_db()
    assert "20.000000 EUR were assigned; the limit is 15." in execution.problem
    assert not world.box.credits

    lifecycle.resume(execution, by=None, why="It was meant.")
    world.announce("7311")
    assert len(world.box.credits) == 2
