"""Second approvals for possibly activated rewards of a high value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Now
from pytest_django import Settings

from promoportal.db.bulk_result import BulkResult
from rewards import approvals, decisions
from rewards.decisions import given, not_given
from rewards.models import Assignment, AssignmentReason, AssignmentState, Proposal
from tests.factories import AssignmentFactory, UserFactory
from tests.promoportal.db.second_connection import elsewhere, patiently
from tests.rewards.collection.test_changes import OTHER
from tests.rewards.collection.test_changes import row as listed
from tests.staff_client import StaffClient
from tests.world import World

Says = Callable[..., BulkResult]

BOTH = pytest.mark.parametrize(
    ("says", "state"),
    [(given, AssignmentState.ACTIVE), (not_given, AssignmentState.OWED)],
)


@pytest.fixture(autouse=True)
def hundred(settings: Settings) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=100"]


def doubtful(value: str = "100.01", unit: str = "EUR") -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD,
        reason=AssignmentReason.UNANSWERED,
        doubtful=True,
        value=Decimal(value),
        unit=unit,
    )


def say(says: Says, by: User | None, why: str = "Their books show it.") -> list[str]:
    decided = says(Assignment.objects.all(), by=by, why=why)
    return [reason.sentence for reason in decided.skipped]


def state() -> str:
    return Assignment.objects.get().state


@pytest.fixture
def first(db: None) -> User:
    return UserFactory()


@pytest.fixture
def second(db: None) -> User:
    return UserFactory()


@BOTH
def test_a_second_approval_changes_the_reward(
    first: User, second: User, says: Says, state: AssignmentState
) -> None:
    row = doubtful()

    assert say(says, first) == [
        "your word is kept: at its value it takes a second person"
    ]
    row.refresh_from_db()
    assert (row.state, row.doubtful) == (AssignmentState.HELD, True)
    assert say(says, second, why="I looked too.") == []

    row.refresh_from_db()
    assert (row.state, row.doubtful) == (state, False)
    assert not Proposal.objects.exists()
    moved = row.transitions.latest("pk")
    assert moved.by == second
    assert moved.why == f"{first}: Their books show it. Seconded: I looked too."


@BOTH
def test_one_user_cannot_give_both_approvals(
    first: User, says: Says, state: AssignmentState
) -> None:
    row = doubtful()
    say(says, first)

    assert say(says, first) == ["you said so already: it takes a second person"]

    row.refresh_from_db()
    assert row.state == AssignmentState.HELD != state


def test_a_contrary_decision_cancels_both_proposals(first: User, second: User) -> None:
    doubtful()
    say(given, first)

    [reason] = say(not_given, second)

    assert reason == f"{first} said the opposite: neither counts, talk to each other"
    assert state() == AssignmentState.HELD
    assert not Proposal.objects.exists()


def test_a_user_may_change_the_proposal(first: User, second: User) -> None:
    doubtful()
    say(given, first)
    say(not_given, first)

    assert Proposal.objects.get().says == Proposal.Says.NOT_GIVEN
    assert say(not_given, second) == []
    assert state() == AssignmentState.OWED


@pytest.mark.parametrize(
    ("value", "unit"), [("100", "EUR"), ("5000", "spins")], ids=["up to", "not named"]
)
def test_lower_values_and_other_units_need_one_approval(
    first: User, value: str, unit: str
) -> None:
    doubtful(value, unit)

    assert say(given, first) == []

    assert state() == AssignmentState.ACTIVE


def test_a_raised_limit_drops_the_open_proposal(
    first: User, second: User, settings: Settings
) -> None:
    row = doubtful()
    say(given, first)
    settings.DECIDE_ALONE_UP_TO = ["EUR=1000"]

    assert say(given, second, why="I looked.") == []

    assert row.transitions.latest("pk").why == "I looked."
    assert not Proposal.objects.exists()


def test_a_proposal_before_the_last_change_does_not_count(
    first: User, second: User
) -> None:
    """The reward was sent again since, so that the proposal may be outdated."""
    row = doubtful()
    say(not_given, first)
    Assignment.objects.update(state_since=Now())

    assert say(not_given, second) != []

    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
    assert Proposal.objects.get().by == second
    assert approvals.open_proposals().count() == 1


def test_a_proposal_needs_a_user(db: None) -> None:
    doubtful()

    assert say(given, None) == ["it takes two persons, and nobody is named"]

    assert state() == AssignmentState.HELD


@pytest.mark.django_db(transaction=True)
def test_a_double_click_makes_one_proposal() -> None:
    doubtful()
    person = UserFactory()
    with elsewhere() as other:
        other.begin()
        other.do(lambda: say(given, person))
        late = other.start(lambda: say(given, person))
        other.commit()
        patiently(late)

    assert state() == AssignmentState.HELD
    assert Proposal.objects.count() == 1


@pytest.mark.parametrize("wrong", ["EUR", "EUR=x", "EUR=-1"])
def test_an_invalid_setting_is_an_error(settings: Settings, wrong: str) -> None:
    settings.DECIDE_ALONE_UP_TO = [wrong]

    with pytest.raises(ImproperlyConfigured, match="DECIDE_ALONE_UP_TO"):
        approvals.alone_up_to()


def test_a_retry_needs_no_second_approval(first: User) -> None:
    AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED, value=Decimal(500)
    )

    assert not decisions.retry(Assignment.objects.all(), by=first, why="Again.").skipped


@pytest.mark.parametrize("unit", ["eur", "Eur"])
def test_units_are_compared_regardless_of_case(first: User, unit: str) -> None:
    doubtful(unit=unit)

    assert say(given, first) == [
        "your word is kept: at its value it takes a second person"
    ]
    assert state() == AssignmentState.HELD


CHANGES = [
    {"value": Decimal(5000)},
    {"unit": "eur"},
    {"reason": AssignmentReason.MALFORMED},
    {"attempts": 2},
    {"evidence": "late receipt"},
    {"as_assigned": {"customerId": "another"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(*change))
@BOTH
def test_a_second_approval_of_a_changed_reward_is_a_first_one(
    first: User,
    second: User,
    says: Says,
    state: AssignmentState,
    change: dict[str, object],
) -> None:
    doubtful()
    say(says, first)
    Assignment.objects.update(**change)

    kept = "your word is kept: at its value it takes a second person"
    assert say(says, second) == [f"it changed since {first} decided: {kept}"]
    assert Assignment.objects.get().state == AssignmentState.HELD != state
    assert Proposal.objects.get().by == second
    assert approvals.said_by(Assignment.objects.get(), first) == ""
    assert say(says, first) == []
    assert Assignment.objects.get().state == state


def test_a_proposal_of_the_previous_release_does_not_count(
    first: User, second: User
) -> None:
    doubtful()
    say(given, first)
    Proposal.objects.update(version="")

    assert say(given, second) != []

    assert state() == AssignmentState.HELD


def test_a_reward_that_became_costly_needs_a_second_approval(first: User) -> None:
    doubtful("99")
    Assignment.objects.update(value=Decimal(5000))

    assert say(not_given, first) == [
        "your word is kept: at its value it takes a second person"
    ]


def test_the_page_says_that_a_first_approval_does_not_count(
    operations: StaffClient, first: User
) -> None:
    row = doubtful()
    say(given, first)
    assert "does not count any more" not in operations.page(row)
    Assignment.objects.update(value=Decimal(5000))

    assert "this does not count any more" in operations.page(row)


@pytest.mark.parametrize("held", [True, False], ids=["held", "outcome unknown"])
def test_a_reward_over_the_limit_is_not_sent_again_without_an_approval(
    first: User, settings: Settings, held: bool
) -> None:
    settings.DECIDE_ALONE_UP_TO = []
    settings.LIMIT_REWARD = ["EUR=100"]
    row = doubtful("5000")
    if not held:
        Assignment.objects.update(state=AssignmentState.UNCERTAIN)

    assert say(not_given, first) == []

    row.refresh_from_db()
    assert (row.state, row.reason) == (AssignmentState.HELD, "OVER_LIMIT")
    assert (row.doubtful, row.first_sent_at) == (False, None)
    assert decisions.retry(Assignment.objects.all(), by=first, why="Go.").done == 0
    assert decisions.release(Assignment.objects.all(), by=first, why="Go.").done == 1


def approved(first: User, settings: Settings) -> Assignment:
    """Return a reward whose value over the limit was approved."""
    settings.DECIDE_ALONE_UP_TO = []
    settings.LIMIT_REWARD = ["EUR=100"]
    row = AssignmentFactory(
        state=AssignmentState.HELD,
        reason=AssignmentReason.OVER_LIMIT,
        value=Decimal(5000),
    )
    decisions.release(Assignment.objects.all(), by=first, why="It is meant.")
    row.refresh_from_db()
    assert row.confirmed == {"OVER_LIMIT": "5000.000000 EUR"}
    return row


def test_an_approved_value_is_not_asked_for_again(
    first: User, settings: Settings
) -> None:
    row = approved(first, settings)
    unanswered = {"state": AssignmentState.HELD, "reason": "UNANSWERED"}
    Assignment.objects.update(**unanswered, doubtful=True)

    assert say(not_given, first) == []
    row.refresh_from_db()
    assert row.state == AssignmentState.OWED
    Assignment.objects.update(state=AssignmentState.HELD, reason="REFUSED")
    assert decisions.retry(Assignment.objects.all(), by=first, why="Go.").done == 1


def test_the_approval_of_a_value_does_not_cover_another_value(
    first: User, settings: Settings
) -> None:
    row = approved(first, settings)
    held = {"state": AssignmentState.HELD, "reason": "REFUSED"}
    Assignment.objects.update(**held, value=Decimal(6000))

    assert decisions.retry(Assignment.objects.all(), by=first, why="Go.").done == 0

    row.refresh_from_db()
    assert (row.state, row.reason) == (AssignmentState.HELD, "OVER_LIMIT")


def test_an_approval_stores_all_reasons_that_it_confirms(
    world: World, first: User
) -> None:
    world.box.list_row("7311", listed("A1", customer="C1"))
    world.announce("7311")
    changed = listed("A1", customer="C1") | {"reward": {**OTHER, "value": "20"}}
    Assignment.objects.update(
        state=AssignmentState.HELD,
        reason=AssignmentReason.REPEATED,
        difference="REWARD",
        as_assigned=changed,
    )

    decided = decisions.release(Assignment.objects.all(), by=first, why="It is meant.")

    assert decided.done == 1
    assert Assignment.objects.get().confirmed == {
        "REPEATED": "20.000000 EUR",
        "DIFFERS": "20.000000 EUR",
    }
