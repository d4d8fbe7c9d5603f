"""Guarded state changes and their history."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Model, TextChoices, Value
from django.db.models.functions import Concat

from executions.models import (
    Delivery,
    DeliveryState,
    Execution,
    ExecutionProgress,
    ExecutionStop,
    Trigger,
    TriggerState,
)
from promoportal.db import state_machine
from promoportal.db.bulk import NotForStates, bulk_update
from promoportal.db.state_machine import IllegalMove, LostRace, Stateful, move_all
from redemptions.models import Redemption, RedemptionState
from rewards.models import (
    Assignment,
    AssignmentState,
    Collection,
    CollectionState,
    Retrial,
    RetrialState,
)
from tests import factories
from tests.factories import DeliveryFactory, ExecutionFactory, TriggerFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits

MACHINES: list[tuple[type[Stateful], str, type[TextChoices]]] = [
    (Delivery, "state", DeliveryState),
    (Execution, "state", ExecutionProgress),
    (Execution, "stop", ExecutionStop),
    (Trigger, "state", TriggerState),
    (Collection, "state", CollectionState),
    (Assignment, "state", AssignmentState),
    (Redemption, "state", RedemptionState),
    (Retrial, "state", RetrialState),
]
IDS = [f"{model.__name__}.{machine}" for model, machine, _ in MACHINES]


def a(model: type[Model]) -> Stateful:
    made = getattr(factories, f"{model.__name__}Factory")()
    assert isinstance(made, Stateful)
    return made


# --- The machines ---------------------------------------------------------------------


def test_every_state_machine_of_the_portal_is_tested_here() -> None:
    declared = {
        (model, machine)
        for model in apps.get_models()
        if issubclass(model, Stateful)
        for machine in model.machines
    }

    assert declared == {(model, machine) for model, machine, _ in MACHINES}


@pytest.mark.parametrize(("model", "machine", "choices"), MACHINES, ids=IDS)
def test_a_machine_declares_each_of_its_states(
    model: type[Stateful], machine: str, choices: type[TextChoices]
) -> None:
    moves = model.machines[machine]
    targets = {state for after in moves.values() for state in after}

    assert set(moves) == set(choices)
    assert targets <= set(choices)
    assert not any(state in after for state, after in moves.items())


@pytest.mark.parametrize(("model", "machine", "choices"), MACHINES, ids=IDS)
def test_the_database_refuses_an_unknown_state(
    db: None, model: type[Stateful], machine: str, choices: type[TextChoices]
) -> None:
    row = a(model)

    with pytest.raises(IntegrityError), transaction.atomic():
        model._base_manager.filter(pk=row.pk).update(**{machine: "PERHAPS"})


@pytest.mark.parametrize(
    "model", [Assignment, Redemption], ids=lambda each: each.__name__
)
def test_a_row_in_flight_has_a_lease(db: None, model: type[Stateful]) -> None:
    row = a(model)
    in_flight = {
        Assignment: AssignmentState.ACTIVATING,
        Redemption: RedemptionState.REPORTING,
    }[model]

    with pytest.raises(IntegrityError), transaction.atomic():
        model._base_manager.filter(pk=row.pk).update(state=in_flight)


# --- One row --------------------------------------------------------------------------


def test_a_move_records_its_user_and_reason(db: None) -> None:
    user = User.objects.create_user("clerk")
    row = DeliveryFactory(state=DeliveryState.HELD)
    since = row.state_since

    row.move(DeliveryState.UNREAD, by=user, why="It is right.", problem="none")

    trace = row.transitions.get()
    assert (trace.before, trace.after) == (DeliveryState.HELD, DeliveryState.UNREAD)
    assert (trace.by, trace.why) == (user, "It is right.")
    assert (row.state, row.problem) == (DeliveryState.UNREAD, "none")
    assert row.state_since >= since
    assert row.state_since == trace.at
    assert str(trace) == "HELD → UNREAD"


def test_a_move_that_is_not_declared_is_illegal(db: None) -> None:
    row = DeliveryFactory(state=DeliveryState.READ)

    with pytest.raises(IllegalMove, match="cannot go from READ to HELD"):
        row.move(DeliveryState.HELD, why="No.")

    assert not row.transitions.exists()


def test_a_move_from_a_stale_state_loses_the_race(db: None) -> None:
    row = DeliveryFactory(state=DeliveryState.UNREAD)
    stale = Delivery.objects.get(pk=row.pk)
    row.move(DeliveryState.READ, why="First.")

    with pytest.raises(LostRace, match="no longer UNREAD"):
        stale.move(DeliveryState.HELD, why="Second.")

    assert row.transitions.count() == 1


def test_a_stale_move_loses_the_race_even_if_the_new_state_allows_it(db: None) -> None:
    """`READ` allows the move as well, but the caller saw the row in `HELD`."""
    row = DeliveryFactory(state=DeliveryState.HELD)
    stale = Delivery.objects.get(pk=row.pk)
    for state in (DeliveryState.UNREAD, DeliveryState.READ):
        row.move(state, why="Meanwhile.")

    with pytest.raises(LostRace, match="no longer HELD"):
        stale.move(DeliveryState.UNREAD, why="Again.")

    assert Delivery.objects.get().state == DeliveryState.READ


def test_a_second_state_machine_moves_independently(db: None) -> None:
    row = ExecutionFactory()
    since = row.state_since

    row.move(ExecutionStop.PAUSED, machine="stop", why="Wait.")

    assert (row.state, row.state_since) == (ExecutionProgress.ACTIVATING, since)
    assert row.stop == ExecutionStop.PAUSED


# --- A set ----------------------------------------------------------------------------


def test_of_a_set_only_the_allowed_rows_move(db: None) -> None:
    rows = {state: DeliveryFactory(state=state) for state in DeliveryState}

    moved = move_all(Delivery.objects.all(), DeliveryState.HELD, why="To be seen.")

    assert moved == [rows[DeliveryState.UNREAD].pk]
    assert Delivery.objects.filter(state=DeliveryState.HELD).count() == 2
    assert not rows[DeliveryState.READ].transitions.exists()


def test_changes_can_be_values_and_expressions(db: None) -> None:
    row = DeliveryFactory(state=DeliveryState.UNREAD, attempts=2, problem="It is")

    move_all(
        Delivery.objects.all(),
        DeliveryState.HELD,
        attempts=F("attempts") + 1,
        problem=Concat("problem", Value(" 100% so.")),
        execution=(execution := ExecutionFactory()),
        lease_until=None,
    )

    row.refresh_from_db()
    assert (row.attempts, row.problem) == (3, "It is 100% so.")
    assert row.execution == execution


def test_each_row_can_have_its_own_changes(db: None) -> None:
    one, two, other = TriggerFactory.create_batch(3)
    text = "its \"own\" 'words' %s \\ ; DROP TABLE"

    moved = move_all(
        Trigger.objects.all(),
        TriggerState.HELD,
        each={
            one.pk: {"problem": text, "delivery": None},
            two.pk: {"problem": "", "delivery": DeliveryFactory().pk},
        },
        why="100% sure.",
    )

    for row in (one, two, other):
        row.refresh_from_db()
    assert sorted(moved) == [one.pk, two.pk]
    assert (one.problem, two.problem) == (text, "")
    assert two.delivery is not None
    assert other.state == TriggerState.WAITING


@pytest.mark.parametrize(
    ("chosen", "each"),
    [
        pytest.param(Trigger.objects.none, None, id="none"),
        pytest.param(lambda: Trigger.objects.filter(pk__in=[]), None, id="no keys"),
        pytest.param(lambda: Trigger.objects.filter(pk=0), None, id="not there"),
        pytest.param(Trigger.objects.all, {}, id="no row has its own"),
        pytest.param(Trigger.objects.all, {0: {"problem": "x"}}, id="none of these"),
    ],
)
def test_an_empty_set_moves_nothing(db: None, chosen: object, each: object) -> None:
    row = TriggerFactory()

    moved = move_all(chosen(), TriggerState.HELD, each=each)  # type: ignore[operator,arg-type]

    row.refresh_from_db()
    assert moved == []
    assert row.state == TriggerState.WAITING


def test_a_set_can_be_a_slice(db: None) -> None:
    rows = DeliveryFactory.create_batch(3, state=DeliveryState.UNREAD)

    moved = move_all(Delivery.objects.order_by("-pk")[:2], DeliveryState.HELD)

    assert sorted(moved) == [rows[1].pk, rows[2].pk]


def test_a_set_can_be_filtered_by_related_rows(db: None) -> None:
    stopped = DeliveryFactory(
        state=DeliveryState.UNREAD,
        execution=ExecutionFactory(stop=ExecutionStop.PAUSED),
    )
    DeliveryFactory(state=DeliveryState.UNREAD, execution=ExecutionFactory())

    chosen = Delivery.objects.filter(execution__stop=ExecutionStop.PAUSED)

    assert move_all(chosen, DeliveryState.HELD) == [stopped.pk]


def test_a_bulk_update_sets_columns_but_never_a_state(db: None) -> None:
    one, two = TriggerFactory.create_batch(2)

    bulk_update(
        Trigger, {one.pk: {"problem": "a"}, two.pk: {"problem": "b"}}, attempts=7
    )
    bulk_update(Trigger, {})

    found = Trigger.objects.order_by("pk").values_list("problem", "attempts")
    assert list(found) == [("a", 7), ("b", 7)]
    with pytest.raises(NotForStates):
        bulk_update(Trigger, {one.pk: {"state": "DONE"}})
    with pytest.raises(NotForStates):
        bulk_update(Trigger, {one.pk: {"problem": ""}}, state="DONE")


@pytest.mark.parametrize(
    ("to", "sources"),
    [
        (TriggerState.WAITING, {TriggerState.DONE, TriggerState.HELD}),
        (TriggerState.DONE, {TriggerState.WAITING}),
        ("PERHAPS", set()),
    ],
)
def test_the_sources_of_a_state_are_known(to: str, sources: set[str]) -> None:
    assert set(state_machine.sources(Trigger.machines["state"], to)) == sources


# --- Two connections ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_moves_each_row_is_moved_by_one() -> None:
    rows = DeliveryFactory.create_batch(5, state=DeliveryState.UNREAD)
    everything = Delivery.objects.all()

    with elsewhere() as first, elsewhere() as second:
        first.begin()
        first_moved = first.do(
            lambda: move_all(everything[:3], DeliveryState.HELD, why="First.")
        )
        moving = second.start(
            lambda: move_all(everything.all(), DeliveryState.READ, why="Second.")
        )
        assert waits(moving)
        first.commit()
        second_moved = patiently(moving)

    assert sorted([*first_moved, *second_moved]) == [row.pk for row in rows]
    assert all(row.transitions.count() == 1 for row in rows)


def test_a_move_that_was_rolled_back_leaves_no_history(db: None) -> None:
    row = DeliveryFactory(state=DeliveryState.UNREAD)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        row.move(DeliveryState.READ, why="It was read.")
        raise ZeroDivisionError

    row.refresh_from_db()
    assert row.state == DeliveryState.UNREAD
    assert not row.transitions.exists()
