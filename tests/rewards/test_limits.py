"""The operator's own safeguards hold whatever the vendor assigns, and however."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from executions import lifecycle
from executions.lifecycle import open_execution
from executions.locks import lock_shared
from executions.models import Execution, ExecutionStop
from promoportal.db import bulk
from promoportal.optimove import Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.sandbox import Options
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
from tests.factories import AssignmentFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World

TEN = {"category": "Amount", "type": "BonusCash", "value": "10", "currency": "EUR"}


def assign(world: World, *customers: str, value: str = "10") -> None:
    for customer in customers:
        world.box.assign("7311", customer, reward={**TEN, "value": value})


def test_past_a_limit_on_value_nothing_is_given(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=25"]
    assign(world, "C1", "C2", "C3")

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert "30.000000 EUR were assigned; the limit is 25." in execution.problem
    assert not world.box.credits


def test_within_the_limits_everything_is_given(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_VALUE = ["EUR=30"]
    settings.LIMIT_CUSTOMERS = ["3"]
    assign(world, "C1", "C2", "C3")

    world.announce("7311")

    assert len(world.box.credits) == 3


def test_many_small_passes_cannot_go_past_what_one_may_not(
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


def test_a_person_lets_it_go_as_it_stands(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    execution = world.announce("7311")
    execution.refresh_from_db()

    lifecycle.resume(execution, by=None, why="It was meant.")
    world.work()

    assert len(world.box.credits) == 3


def test_what_comes_after_it_was_let_go_is_held_again(
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


def test_one_reward_past_its_limit_is_held_alone(
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


def test_what_did_not_pass_cannot_be_claimed(world: World, settings: Settings) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    assign(world, "C1", "C2", "C3")
    world.collect("7311")
    Execution.objects.update(stop=ExecutionStop.NONE)

    world.run_activation()

    assert not world.box.credits


def test_what_is_assigned_only_now_waits_for_the_end_of_its_pass(
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


def test_a_large_pass_is_let_go_some_at_a_time(
    settings: Settings, world: World
) -> None:
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


def test_what_comes_while_others_are_let_go_is_checked_itself(
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
    """Saves what the vendor lists: as a page, or as what it answered about customers."""
    open_execution(execution.reference)
    with fetch_runs.acquired(execution.pk) as collection:
        assert collection
        fetch_runs.begin(collection)
        with Promotions.from_settings() as client:
            page = client.assignments(execution.reference)
        nobody = triggered_lookup.CustomerQuery({}, ())
        conclude = nobody.conclude if asked else fetch_runs.advance
        yield partial(ingest.store, collection, page, conclude)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("asked", [False, True], ids=["a page", "an answer"])
def test_who_holds_an_execution_and_who_gives_of_it_do_not_wait_for_each_other(
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
def test_a_page_that_cannot_hold_an_execution_waits_for_nobody_who_gives_of_it(
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


def test_storing_a_page_again_counts_nothing_twice(world: World) -> None:
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
def test_a_limit_that_cannot_be_read_is_named(
    settings: Settings, name: str, value: list[str]
) -> None:
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        limits_of.current()
