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
