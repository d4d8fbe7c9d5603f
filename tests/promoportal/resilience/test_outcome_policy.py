"""
The effect of each outcome of a call on rewards and redemptions.

Each table lists the row after each outcome of a call. The code of the jobs claims and
sends the rows; only the platform and Optimove are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from django.db.models.functions import Now

from executions.models import Execution, ExecutionStop
from promoportal import wire
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.leases import Lease
from promoportal.optimove import (
    Meaning,
    Promotions,
    Refusal,
    Verdict,
)
from promoportal.platforms import Capability, Order, Receipt
from promoportal.resilience import outcome_policy
from promoportal.runtime.time_budget import TimeBudget
from promoportal.wire import Evidence
from redemptions import reporting
from redemptions.models import (
    Redemption,
    RedemptionReason,
    RedemptionState,
    Report,
    ReportMode,
)
from rewards.activation import activate, in_doubt
from rewards.activation.claims import Claim, claim
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.factories import AssignmentFactory, RedemptionFactory

KEYED = Capability(idempotent=True, askable=True)
# Seconds before the next attempt, after none, one, two ... earlier failures.
DELAYS = (1, 5, 15, 60, 300, 900, 1800, 3600)
FAILURES = [0, 3, 50]

Error = Callable[[], wire.WireError]
Range = tuple[float, float]

# "NOT_SENT" is no error: the call did not begin, because its lease was too short.
NOT_SENT = "not sent"
ERRORS: dict[str, Error] = {
    "no connection": lambda: wire.Unavailable("No connection."),
    "429": lambda: wire.Unavailable("Too many.", Evidence(429, "Too many")),
    "429, wait two hours": lambda: wire.Unavailable(
        "Too many.", Evidence(429, "Too many"), retry_after=7200
    ),
    "503": lambda: wire.Unavailable("Maintenance.", Evidence(503, "Maintenance")),
    "401": lambda: wire.Misconfigured("Who are you?", Evidence(401, "Who are you?")),
    "403": lambda: wire.Misconfigured("Forbidden.", Evidence(403, "Forbidden")),
    "response lost": lambda: wire.Unanswered("The response was lost."),
    "500": lambda: wire.Unanswered("Broken.", Evidence(500, "Broken")),
    "malformed": lambda: wire.Malformed("No receipt.", Evidence(200, "Hello")),
    "422": lambda: wire.Rejected("Account closed.", Evidence(422, "Closed")),
}


def problem_of(answer: str) -> str:
    """Return the expected `problem` of a row after this outcome."""
    return ERRORS[answer]().problem if answer in ERRORS else ""


def test_the_policy_has_every_outcome_of_a_call() -> None:
    attempts = set(Attempt.Outcome) - {Attempt.Outcome.NOT_FOUND, Attempt.Outcome.LOST}
    reports = set(Report.Outcome) - {Report.Outcome.LOST}

    assert set(outcome_policy.FOLLOWS) == attempts | reports


def test_an_unknown_error_leaves_the_outcome_unknown() -> None:
    class Odd(wire.WireError):
        """An error of an adapter outside the project."""

    class Narrow(wire.Rejected):
        """A kind of rejection that no table lists."""

    assert outcome_policy.outcome_of(Odd("?")) == Attempt.Outcome.UNANSWERED
    assert outcome_policy.outcome_of(Narrow("?")) == Attempt.Outcome.REFUSED


def jitter(seconds: float) -> Range:
    return 0.8 * seconds, 1.2 * seconds


def exactly(seconds: float) -> Range:
    return seconds, seconds


def backoff(failures: int) -> Range:
    return jitter(DELAYS[min(failures, len(DELAYS) - 1)])


def is_within(not_before: datetime, waits: Range, begun: datetime) -> bool:
    """Return whether the row is due again after a delay in this range."""
    low, high = (timedelta(seconds=seconds) for seconds in waits)
    return begun + low <= not_before <= database_now() + high


# --- Rewards ----------------------------------------------------------------------------


@dataclass
class AnsweringPlatform:
    """A platform whose calls all have the same outcome."""

    result: Receipt | wire.WireError
    capability: Capability = KEYED

    def activate(self, order: Order, *, key: UUID) -> Receipt:
        return self._answer()

    def look_up(self, key: UUID) -> Receipt | None:
        return self._answer()

    def close(self) -> None: ...

    def _answer(self) -> Receipt:
        if isinstance(self.result, wire.WireError):
            raise self.result
        return self.result


def claimed(row: Assignment) -> Claim:
    taken = claim(row.execution_id, capability=KEYED, most=10)
    assert taken is not None
    return taken


def carry_out(taken: Claim, answer: str) -> None:
    """Send the claimed rows; each call has this outcome."""
    if answer == NOT_SENT:
        taken = replace(taken, lease=Lease(5, token=taken.lease.token))
    result = ERRORS[answer]() if answer in ERRORS else Receipt("R-1", Evidence(201))
    platform = AnsweringPlatform(result)
    activate.carry_out(taken, platform, TimeBudget(8), threads=1)


@dataclass(frozen=True)
class RewardAfter:
    """An assignment after a call. `waits`: seconds until it is due; None: unchanged."""

    outcome: str
    state: str
    why: str
    reason: str = ""
    waits: str | Range | None = None
    doubtful: bool = False
    failed: bool = False
    is_malformed: bool = False
    keeps_order: bool = True


BY_BACKOFF = "backoff"
LATER = RewardAfter(
    Attempt.Outcome.UNAVAILABLE,
    AssignmentState.OWED,
    "The platform was not available; it is tried again.",
    waits=BY_BACKOFF,
    failed=True,
    keeps_order=False,
)
NOT_CONFIGURED = replace(
    LATER,
    outcome=Attempt.Outcome.MISCONFIGURED,
    why="The platform did not take our token or address; it is tried again.",
)
IN_DOUBT = RewardAfter(
    Attempt.Outcome.UNANSWERED,
    AssignmentState.UNCERTAIN,
    "It was sent and no answer came that says what became of it.",
    waits=BY_BACKOFF,
    doubtful=True,
    failed=True,
)

REWARDS = {
    "given": RewardAfter(
        Attempt.Outcome.GIVEN, AssignmentState.ACTIVE, "The platform gave it."
    ),
    NOT_SENT: RewardAfter(
        Attempt.Outcome.NOT_SENT,
        AssignmentState.OWED,
        "It was handed back unsent.",
        keeps_order=False,
    ),
    "no connection": LATER,
    "429": LATER,
    "429, wait two hours": replace(LATER, waits=exactly(7200)),
    "503": replace(LATER, doubtful=True, keeps_order=True),
    "401": NOT_CONFIGURED,
    "403": NOT_CONFIGURED,
    "response lost": IN_DOUBT,
    "500": IN_DOUBT,
    "malformed": replace(
        IN_DOUBT, outcome=Attempt.Outcome.MALFORMED, is_malformed=True
    ),
    "422": RewardAfter(
        Attempt.Outcome.REFUSED,
        AssignmentState.HELD,
        "The platform refused it.",
        reason=AssignmentReason.REFUSED,
    ),
}


@pytest.mark.parametrize("failures", FAILURES)
@pytest.mark.parametrize("was_in_doubt", [False, True], ids=["new", "in doubt"])
@pytest.mark.parametrize("answer", REWARDS)
def test_an_outcome_changes_a_reward_as_listed(
    db: None, answer: str, was_in_doubt: bool, failures: int
) -> None:
    expected = REWARDS[answer]
    sent = Now() if was_in_doubt else None
    row = AssignmentFactory(
        failures=failures, malformed=2, doubtful=was_in_doubt, first_sent_at=sent
    )
    taken, begun, due = claimed(row), database_now(), row.not_before

    carry_out(taken, answer)

    row.refresh_from_db()
    is_given = expected.state == AssignmentState.ACTIVE
    doubtful = (expected.doubtful or was_in_doubt) and not is_given
    assert (row.state, row.reason) == (expected.state, expected.reason)
    assert row.problem == problem_of(answer)
    assert row.doubtful is doubtful
    assert row.failures == (0 if is_given else failures + expected.failed)
    assert row.malformed == 2 + expected.is_malformed
    waits = backoff(failures) if expected.waits == BY_BACKOFF else expected.waits
    if waits is None:
        assert row.not_before == due
    else:
        assert is_within(row.not_before, cast(Range, waits), begun)
    assert row.token is None
    assert (row.lease_until is not None) is doubtful
    is_kept = expected.keeps_order or doubtful
    assert (row.order is not None, row.first_sent_at is not None) == (is_kept, is_kept)


@pytest.mark.parametrize("answer", REWARDS)
def test_an_attempt_records_how_its_call_ended(db: None, answer: str) -> None:
    row = AssignmentFactory()

    carry_out(claimed(row), answer)

    attempt = Attempt.objects.get(assignment=row)
    last = row.transitions.order_by("pk").last()
    error = ERRORS[answer]() if answer in ERRORS else None
    assert attempt.outcome == REWARDS[answer].outcome
    assert attempt.ended_at is not None
    if error:
        result = error.answer or error.problem
        assert (attempt.status, attempt.answer) == (error.status, result)
    assert last is not None
    assert (last.before, last.why) == (AssignmentState.ACTIVATING, REWARDS[answer].why)


@pytest.mark.parametrize(
    ("malformed", "state"),
    [(6, AssignmentState.UNCERTAIN), (7, AssignmentState.HELD)],
)
def test_the_eighth_malformed_response_holds_a_reward(
    db: None, malformed: int, state: str
) -> None:
    row = AssignmentFactory(malformed=malformed)

    carry_out(claimed(row), "malformed")

    row.refresh_from_db()
    is_held = state == AssignmentState.HELD
    assert row.state == state
    assert row.doubtful
    assert row.malformed == 7
    assert row.failures == (0 if is_held else 1)
    assert row.reason == (AssignmentReason.MALFORMED if is_held else "")
    assert row.lease_until is not None
    assert row.problem == "No receipt."


def test_each_reward_waits_by_its_own_failures(db: None) -> None:
    execution = AssignmentFactory(failures=0).execution
    AssignmentFactory(execution=execution, failures=3)
    taken, begun = claimed(Assignment.objects.earliest("pk")), database_now()

    carry_out(taken, "429")

    first, second = Assignment.objects.order_by("pk")
    assert is_within(first.not_before, jitter(1), begun)
    assert is_within(second.not_before, jitter(60), begun)


@pytest.mark.parametrize(
    ("changes", "answer", "state", "reason", "keeps_order"),
    [
        pytest.param(
            {"stop": ExecutionStop.CANCELLED},
            *("429", AssignmentState.VOID, AssignmentReason.CANCELLED, False),
            id="cancelled, not sent",
        ),
        pytest.param(
            {"stop": ExecutionStop.CANCELLED},
            *("503", AssignmentState.UNCERTAIN, "", True),
            id="cancelled, in doubt",
        ),
        pytest.param(
            {"stop": ExecutionStop.CANCELLED},
            *(NOT_SENT, AssignmentState.VOID, AssignmentReason.CANCELLED, False),
            id="cancelled, handed back",
        ),
        pytest.param(
            {"stop": ExecutionStop.CANCELLED},
            *("422", AssignmentState.HELD, AssignmentReason.REFUSED, True),
            id="cancelled, refused",
        ),
        pytest.param(
            {"stop": ExecutionStop.PAUSED},
            *("429", AssignmentState.OWED, "", False),
            id="paused",
        ),
        pytest.param(
            {"meaning": Meaning.NOTHING},
            *("403", AssignmentState.VOID, AssignmentReason.NOT_ASSIGNED, False),
            id="not assigned any more",
        ),
        pytest.param(
            {"meaning": Meaning.UNKNOWN},
            *("429", AssignmentState.HELD, AssignmentReason.UNKNOWN_STATUS, True),
            id="an unknown status",
        ),
        pytest.param(
            {"reason": AssignmentReason.DIFFERS},
            *("429", AssignmentState.HELD, AssignmentReason.DIFFERS, True),
            id="another reward",
        ),
    ],
)
def test_a_reward_that_changed_during_its_call_is_not_sent_again(
    db: None,
    changes: dict[str, str],
    answer: str,
    state: str,
    reason: str,
    keeps_order: bool,
) -> None:
    row = AssignmentFactory()
    taken = claimed(row)
    changed = Execution if "stop" in changes else Assignment
    changed._default_manager.update(**changes)

    carry_out(taken, answer)

    row.refresh_from_db()
    assert (row.state, row.reason) == (state, reason)
    assert (row.order is not None) is keeps_order
    assert row.token is None


# --- Rewards with an unknown outcome ----------------------------------------------------

LOOK_UPS = {
    "no connection": Attempt.Outcome.UNAVAILABLE,
    "429, wait two hours": Attempt.Outcome.UNAVAILABLE,
    "503": Attempt.Outcome.UNAVAILABLE,
    "401": Attempt.Outcome.MISCONFIGURED,
    "malformed": Attempt.Outcome.MALFORMED,
    "422": Attempt.Outcome.REFUSED,
}


@pytest.mark.parametrize("failures", FAILURES)
@pytest.mark.parametrize("answer", LOOK_UPS)
def test_a_failed_look_up_leaves_the_outcome_unknown(
    db: None, answer: str, failures: int
) -> None:
    sent = {"doubtful": True, "first_sent_at": Now(), "lease_until": Now()}
    row = AssignmentFactory(state=AssignmentState.UNCERTAIN, failures=failures, **sent)
    begun, platform = database_now(), AnsweringPlatform(ERRORS[answer]())

    in_doubt.ask_some(platform, TimeBudget(8), threads=1)

    row.refresh_from_db()
    attempt = Attempt.objects.get(assignment=row)
    waits = exactly(7200) if "two hours" in answer else backoff(failures)
    assert (row.state, row.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert (row.failures, row.malformed) == (failures + 1, 0)
    assert is_within(row.not_before, waits, begun)
    assert (attempt.kind, attempt.outcome) == (Attempt.Kind.LOOK_UP, LOOK_UPS[answer])


# --- Redemptions ------------------------------------------------------------------------


@dataclass
class AnsweringOptimove:
    """A client of Optimove whose calls all have the same outcome."""

    result: Verdict | wire.WireError

    def report(self, redemption: object) -> Verdict:
        return self._answer()

    def report_batch(self, redemptions: Sequence[object]) -> Verdict:
        return self._answer()

    def _answer(self) -> Verdict:
        if isinstance(self.result, wire.WireError):
            raise self.result
        return self.result


def report(answer: str, *, size: int) -> Report:
    """Claim due redemptions and send them; the call has this outcome."""
    carried = reporting.claim(batch_limit=1000)
    assert carried is not None
    assert len(carried.rows) == size
    if answer == NOT_SENT:
        carried = replace(carried, lease=Lease(5, token=carried.lease.token))
    result = ERRORS[answer]() if answer in ERRORS else Verdict(size, (), Evidence(200))
    reporting.send(carried, cast(Promotions, AnsweringOptimove(result)))
    carried.report.refresh_from_db()
    return carried.report


@dataclass(frozen=True)
class RedemptionAfter:
    """A redemption after a call. `waits`: seconds until it is due; None: unchanged."""

    outcome: str
    state: str
    why: str
    reason: str = ""
    waits: str | Range | None = None
    failed: bool = False
    is_malformed: bool = False


NOT_REPORTED = RedemptionAfter(
    Report.Outcome.UNAVAILABLE,
    RedemptionState.WAITING,
    "Report {} is tried again.",
    waits=BY_BACKOFF,
    failed=True,
)
PERHAPS_REPORTED = RedemptionAfter(
    Report.Outcome.UNANSWERED,
    RedemptionState.UNCERTAIN,
    "Report {} was sent and not answered.",
    waits=BY_BACKOFF,
    failed=True,
)

REDEMPTIONS = {
    "accepted": RedemptionAfter(
        Report.Outcome.ACCEPTED, RedemptionState.REPORTED, "Optimove took report {}."
    ),
    NOT_SENT: replace(
        NOT_REPORTED, outcome=Report.Outcome.NOT_SENT, waits=exactly(1), failed=False
    ),
    "no connection": NOT_REPORTED,
    "429": NOT_REPORTED,
    "429, wait two hours": replace(NOT_REPORTED, waits=exactly(7200)),
    "503": NOT_REPORTED,
    "401": replace(
        NOT_REPORTED,
        outcome=Report.Outcome.MISCONFIGURED,
        waits=exactly(10),
        failed=False,
    ),
    "403": replace(NOT_REPORTED, outcome=Report.Outcome.MISCONFIGURED),
    "response lost": PERHAPS_REPORTED,
    "500": PERHAPS_REPORTED,
    "malformed": replace(
        PERHAPS_REPORTED, outcome=Report.Outcome.MALFORMED, is_malformed=True
    ),
    "422": RedemptionAfter(
        Report.Outcome.REFUSED,
        RedemptionState.HELD,
        "Report {}: Rejected by Optimove.",
        reason=RedemptionReason.REFUSED,
    ),
}


@pytest.mark.parametrize("failures", FAILURES)
@pytest.mark.parametrize("answer", REDEMPTIONS)
def test_an_outcome_changes_a_redemption_as_listed(
    db: None, answer: str, failures: int
) -> None:
    expected = REDEMPTIONS[answer]
    row = RedemptionFactory(failures=failures, malformed=2)
    begun, due = database_now(), row.not_before

    written = report(answer, size=1)

    row.refresh_from_db()
    assert (row.state, row.reason) == (expected.state, expected.reason)
    assert row.problem == problem_of(answer)
    assert row.failures == failures + expected.failed
    assert row.malformed == 2 + expected.is_malformed
    assert row.batch_limit == 0
    waits = backoff(failures) if expected.waits == BY_BACKOFF else expected.waits
    if waits is None:
        assert row.not_before == due
    else:
        assert is_within(row.not_before, cast(Range, waits), begun)
    # While the first request may still arrive, staff cannot report again.
    is_unknown = expected.state == RedemptionState.UNCERTAIN
    assert (row.token, row.lease_until is not None) == (None, is_unknown)
    assert written.outcome == expected.outcome


@pytest.mark.parametrize("answer", REDEMPTIONS)
def test_a_report_records_how_its_call_ended(db: None, answer: str) -> None:
    row = RedemptionFactory()

    written = report(answer, size=1)

    last = row.transitions.order_by("pk").last()
    error = ERRORS[answer]() if answer in ERRORS else None
    assert written.outcome == REDEMPTIONS[answer].outcome
    assert written.ended_at is not None
    if error:
        result = error.answer or error.problem
        assert (written.status, written.answer) == (error.status, result)
    assert last is not None
    assert last.before == RedemptionState.REPORTING
    assert last.why == REDEMPTIONS[answer].why.format(written.pk)


@pytest.mark.parametrize("answer", ["503", "403", "no connection"])
@pytest.mark.parametrize(
    ("failures", "state"), [(79, RedemptionState.WAITING), (80, RedemptionState.HELD)]
)
def test_a_redemption_is_given_up_after_eighty_failures(
    db: None, answer: str, failures: int, state: str
) -> None:
    row = RedemptionFactory(failures=failures)

    report(answer, size=1)

    row.refresh_from_db()
    is_held = state == RedemptionState.HELD
    assert row.state == state
    assert row.reason == (RedemptionReason.GIVEN_UP if is_held else "")
    assert row.problem == ERRORS[answer]().problem
    assert row.failures == 80
    assert (row.token, row.lease_until) == (None, None)


@pytest.mark.parametrize("answer", ["401", "response lost", "malformed", NOT_SENT])
def test_other_outcomes_never_give_up_a_redemption(db: None, answer: str) -> None:
    row = RedemptionFactory(failures=200)

    report(answer, size=1)

    row.refresh_from_db()
    assert row.state == REDEMPTIONS[answer].state


@pytest.mark.parametrize(
    ("malformed", "state"),
    [(6, RedemptionState.UNCERTAIN), (7, RedemptionState.HELD)],
)
def test_the_eighth_malformed_response_holds_a_redemption(
    db: None, malformed: int, state: str
) -> None:
    row = RedemptionFactory(malformed=malformed)

    report("malformed", size=1)

    row.refresh_from_db()
    is_held = state == RedemptionState.HELD
    assert row.state == state
    assert row.malformed == 7
    assert row.failures == (0 if is_held else 1)
    assert row.reason == (RedemptionReason.MALFORMED if is_held else "")
    assert row.problem == "No receipt."


def test_rows_of_a_malformed_batch_are_reported_alone_before_one_needs_review(
    db: None,
) -> None:
    often_malformed = RedemptionFactory(malformed=7)
    other = RedemptionFactory()

    report("malformed", size=2)

    for row in (often_malformed, other):
        row.refresh_from_db()
        assert (row.state, row.batch_limit) == (RedemptionState.UNCERTAIN, 1)


@pytest.mark.parametrize("answer", ["429", "500"])
def test_all_redemptions_of_a_report_wait_equally_long(db: None, answer: str) -> None:
    RedemptionFactory(failures=0)
    RedemptionFactory(failures=3)
    begun = database_now()

    report(answer, size=2)

    first, second = Redemption.objects.order_by("pk")
    assert first.not_before == second.not_before
    assert is_within(first.not_before, jitter(60), begun)


@pytest.mark.parametrize(("size", "limit"), [(2, 1), (3, 2), (8, 4)])
def test_a_rejected_batch_is_halved_and_sent_at_once(
    db: None, size: int, limit: int
) -> None:
    RedemptionFactory.create_batch(size)
    begun = database_now()

    report("422", size=size)

    for row in Redemption.objects.all():
        assert (row.state, row.reason) == (RedemptionState.WAITING, "")
        assert (row.batch_limit, row.failures) == (limit, 0)
        assert row.problem == "Account closed."
        assert is_within(row.not_before, exactly(0), begun)
        assert (row.token, row.lease_until) == (None, None)


@pytest.mark.parametrize("answer", REDEMPTIONS)
def test_an_outcome_moves_no_redemption_that_another_report_carries(
    db: None, answer: str
) -> None:
    row = RedemptionFactory(mode=ReportMode.TRIGGERED)
    carried = reporting.claim(batch_limit=1000)
    assert carried is not None
    others = Lease(60)
    Redemption.objects.update(
        token=others.token, report=None, lease_until=seconds_from_now(60)
    )
    result = ERRORS[answer]() if answer in ERRORS else Verdict(1, (), Evidence(200))
    if answer == NOT_SENT:
        carried = replace(carried, lease=Lease(5, token=carried.lease.token))

    reporting.send(carried, cast(Promotions, AnsweringOptimove(result)))

    row.refresh_from_db()
    assert (row.state, row.token) == (RedemptionState.REPORTING, others.token)
    carried.report.refresh_from_db()
    assert carried.report.outcome == REDEMPTIONS[answer].outcome


@pytest.mark.parametrize("answer", [each for each in REWARDS if each != "given"])
def test_an_outcome_moves_no_reward_that_another_worker_claimed(
    db: None, answer: str
) -> None:
    row = AssignmentFactory()
    taken, others = claimed(row), Lease(60)
    Assignment.objects.update(token=others.token)

    carry_out(taken, answer)

    row.refresh_from_db()
    assert (row.state, row.token) == (AssignmentState.ACTIVATING, others.token)
    assert not row.doubtful
    attempt = Attempt.objects.get(assignment=row)
    assert attempt.outcome == REWARDS[answer].outcome


def test_a_late_receipt_is_left_to_the_worker_that_sends_the_reward_again(
    db: None,
) -> None:
    row = AssignmentFactory()
    first = claimed(row)
    Assignment.objects.update(state=AssignmentState.OWED, token=None, lease_until=None)
    second = claimed(row)

    carry_out(first, "given")

    row.refresh_from_db()
    assert (row.state, row.token) == (AssignmentState.ACTIVATING, second.lease.token)
    assert (row.evidence, row.receipt) == ("R-1", "")


def test_a_late_verdict_reports_only_what_it_accepts(db: None) -> None:
    refused, accepted = RedemptionFactory.create_batch(2)
    carried = reporting.claim(batch_limit=1000)
    assert carried is not None
    Redemption.objects.update(
        state=RedemptionState.UNCERTAIN, token=None, lease_until=None
    )
    [place] = [n for n, row in enumerate(carried.rows) if row.pk == refused.pk]
    verdict = Verdict(1, (Refusal(place, "Unknown", "Who?", duplicate=False),))

    reporting.send(carried, cast(Promotions, AnsweringOptimove(verdict)))

    for row in (refused, accepted):
        row.refresh_from_db()
    assert refused.state == RedemptionState.UNCERTAIN
    assert accepted.state == RedemptionState.REPORTED
