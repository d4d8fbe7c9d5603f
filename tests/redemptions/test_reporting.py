"""Reports of activations to Optimove: each counts once, whatever the response."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.db.models import F
from pytest_django import Settings

from promoportal import wire
from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.leases import Lease
from promoportal.operations import next_step
from promoportal.optimove import Promotions, Verdict, rate_limiter
from promoportal.optimove.promotions_api import Refusal
from promoportal.optimove.rate_limiter import Priority
from promoportal.resilience import outcome_policy
from promoportal.resilience.circuit_breaker import Breaker
from promoportal.sandbox import Fault
from redemptions import decisions, in_doubt, report_outcomes, reporting
from redemptions.models import Redemption, RedemptionReason, RedemptionState, Report
from rewards.models import Assignment
from tests.conftest import Agree
from tests.factories import RedemptionFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.redemptions.conftest import OCCURRENCE, Give
from tests.world import World

ONE, BATCH = "v1/redemptions", "v1/redemptions/batch"
Outcome = Report.Outcome


def calls(world: World) -> Counter[str]:
    return Counter(call.path for call in world.box.calls if "redemptions" in call.path)


def states() -> Counter[str]:
    return Counter(Redemption.objects.values_list("state", flat=True))


def counted(world: World) -> tuple[int, int]:
    """Return the numbers of redemptions accepted by Optimove, and of duplicates."""
    vendor = world.box.books(OCCURRENCE).vendor
    return vendor.accepted, vendor.duplicates


def fault(kind: str, route: str = "v1/redemptions*", **more: object) -> Fault:
    return Fault(kind=kind, side="promotions", route=route, **more)  # type: ignore[arg-type]


def test_a_claim_inside_a_transaction_is_an_error(world: World, give: Give) -> None:
    give(1)

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        reporting.claim(batch_limit=10)


# --- Single and batched reports -----------------------------------------------------


def test_batched_redemptions_are_sent_together_when_due(
    world: World, give: Give, settings: Settings
) -> None:
    settings.REDEMPTION_INTERVAL = timedelta(hours=1)
    give(30, mode="scheduled")

    world.work()
    before = calls(world)
    world.wait()

    assert not before
    assert calls(world) == {BATCH: 1}
    assert states() == {RedemptionState.REPORTED: 30}
    assert counted(world) == (30, 0)


def test_a_few_immediate_redemptions_are_sent_one_by_one(
    world: World, give: Give
) -> None:
    give(reporting.ONE_BY_ONE)

    world.work()

    assert calls(world) == {ONE: reporting.ONE_BY_ONE}
    assert states() == {RedemptionState.REPORTED: reporting.ONE_BY_ONE}


@pytest.mark.parametrize("count", [1, 8], ids=["alone", "in a batch"])
def test_an_accepted_report_stores_the_response(
    world: World, give: Give, count: int
) -> None:
    give(count)

    world.work()

    report = Report.objects.get()
    assert report.outcome == Outcome.ACCEPTED
    assert report.status == 200
    assert "ccepted" in report.answer
    assert report.duration_ms is not None


def test_many_immediate_redemptions_are_sent_as_a_batch(
    world: World, give: Give
) -> None:
    give(reporting.ONE_BY_ONE + 1)

    world.work()

    assert calls(world) == {BATCH: 1}
    assert states() == {RedemptionState.REPORTED: reporting.ONE_BY_ONE + 1}


def test_redemptions_are_sent_as_a_batch_if_few_calls_are_left(
    world: World, give: Give
) -> None:
    give(3)
    while rate_limiter.remaining(Priority.REPORTING) > 2:
        rate_limiter.acquire(Priority.REPORTING)

    world.work()

    assert calls(world) == {BATCH: 1}


def test_nothing_is_claimed_without_a_free_call(world: World, give: Give) -> None:
    give(3)
    while rate_limiter.remaining(Priority.REPORTING):
        rate_limiter.acquire(Priority.REPORTING)

    world.work()

    assert not Report.objects.exists()
    assert states() == {RedemptionState.WAITING: 3}


def test_no_batch_is_larger_than_the_contract_allows(
    world: World, give: Give, agree: Agree
) -> None:
    agree(("batch_limit = 1000", "batch_limit = 4"))
    give(10, mode="scheduled")

    world.wait()

    assert sorted(Report.objects.values_list("size", flat=True)) == [2, 4, 4]
    assert counted(world) == (10, 0)


def test_without_batches_redemptions_are_sent_one_by_one(
    world: World, give: Give, agree: Agree
) -> None:
    agree(('batch = "/v1/redemptions/batch"', 'batch = ""'))
    give(8, mode="scheduled")

    world.wait()

    assert calls(world) == {ONE: 8}
    assert not Report.objects.filter(is_batch=True).exists()


def test_a_lowered_batch_limit_applies_to_existing_redemptions(
    world: World, give: Give, agree: Agree
) -> None:
    give(8, mode="scheduled")
    Redemption.objects.update(batch_limit=500)
    agree(("batch_limit = 1000", "batch_limit = 3"))

    world.wait()

    assert states() == {RedemptionState.REPORTED: 8}
    assert max(Report.objects.values_list("size", flat=True)) == 3


def test_a_report_has_the_data_of_the_activation(world: World, give: Give) -> None:
    [row] = give(1)

    world.work()

    [reported] = world.box.redemptions
    assert (reported.occurrence, reported.customer, reported.assignment) == (
        *(OCCURRENCE, "C0", "A0"),
    )
    assert reported.reference == str(row.reference)
    assert reported.redeemed_at == f"{row.redeemed_at:%Y-%m-%dT%H:%M:%S}Z"


# --- Responses ------------------------------------------------------------------------

WAITING, UNCERTAIN, HELD = (
    RedemptionState.WAITING,
    RedemptionState.UNCERTAIN,
    RedemptionState.HELD,
)
UNCLEAR = {"status": "Perhaps", "accepted": "all"}
ANSWERS = [
    (fault("lost_answer"), Outcome.UNANSWERED, UNCERTAIN),
    (fault("half_answer"), Outcome.UNANSWERED, UNCERTAIN),
    (fault("error_after"), Outcome.UNANSWERED, UNCERTAIN),
    (fault("error_before"), Outcome.UNANSWERED, UNCERTAIN),
    (fault("error_before", status=409), Outcome.UNANSWERED, UNCERTAIN),
    (fault("empty"), Outcome.MALFORMED, UNCERTAIN),
    (fault("sentence"), Outcome.MALFORMED, UNCERTAIN),
    (fault("sentence_after"), Outcome.MALFORMED, UNCERTAIN),
    (fault("altered", changes=UNCLEAR), Outcome.MALFORMED, UNCERTAIN),
    (fault("error_before", status=503), Outcome.UNAVAILABLE, WAITING),
    (fault("too_many", retry_after=0), Outcome.UNAVAILABLE, WAITING),
    (fault("error_before", status=401), Outcome.MISCONFIGURED, WAITING),
    (fault("error_before", status=405), Outcome.MISCONFIGURED, WAITING),
    (fault("error_before", status=400), Outcome.REFUSED, HELD),
    (fault("error_before", status=422), Outcome.REFUSED, HELD),
]


@pytest.mark.parametrize("mode", ["triggered", "scheduled"])
@pytest.mark.parametrize(
    ("bad", "outcome", "state"),
    [
        pytest.param(*answer, id=f"{answer[0].kind} {answer[0].status or ''}".strip())
        for answer in ANSWERS
    ],
)
def test_a_response_changes_report_and_redemption_as_listed(
    world: World, give: Give, mode: str, bad: Fault, outcome: str, state: str
) -> None:
    give(1, mode=mode)
    world.let_time_come()
    world.box.order(bad)

    reporting.report()

    report, row = Report.objects.get(), Redemption.objects.get()
    assert (report.outcome, row.state) == (outcome, state)
    assert report.is_batch is (mode == "scheduled")
    assert report.ended_at is not None
    assert row.problem
    assert row.token is None


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(answer[0], id=f"{answer[0].kind} {answer[0].status or ''}".strip())
        for answer in ANSWERS
        if answer[2] != HELD
    ],
)
def test_after_any_response_each_redemption_is_reported_and_counted_once(
    world: World, give: Give, bad: Fault
) -> None:
    rows = give(8)
    world.box.order(bad)

    world.wait()
    world.wait()

    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world)[0] == 8
    assert {reported.reference for reported in world.box.redemptions} == {
        str(row.reference) for row in rows
    }


def test_a_lost_response_is_followed_by_a_report_with_the_same_reference(
    world: World, give: Give
) -> None:
    give(8)
    world.box.order(fault("lost_answer"))

    world.wait()

    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world) == (8, 8)
    # A redemption may be the cause, so the batch is divided.
    lost, *others = Report.objects.order_by("pk").values_list("size", "outcome")
    assert lost == (8, Outcome.UNANSWERED)
    assert others[0] == (4, Outcome.ACCEPTED)
    assert {outcome for _, outcome in others} == {Outcome.ACCEPTED}


def test_a_response_with_any_characters_is_stored(world: World, give: Give) -> None:
    give(1)
    words = "No \0 such \ud800 customer 😀 " + "x" * 5000
    world.box.order(fault("error_before", status=422, text=words))

    world.work()

    assert states() == {RedemptionState.HELD: 1}
    assert "such" in Report.objects.get().answer


# --- Rejected batches ---------------------------------------------------------------


def test_of_a_partly_rejected_batch_only_the_rejected_redemption_needs_review(
    world: World, give: Give
) -> None:
    give(8)
    world.box.unlist(OCCURRENCE, "A3")

    world.work()

    held = Redemption.objects.get(state=RedemptionState.HELD)
    report = Report.objects.get()
    assert held.assignment.reference == "A3"
    assert held.reason == RedemptionReason.REFUSED
    assert "UnknownAssignment" in held.problem
    assert (report.outcome, report.accepted, report.rejected) == (Outcome.PARTLY, 7, 1)
    assert states() == {RedemptionState.REPORTED: 7, RedemptionState.HELD: 1}


def test_a_duplicate_in_a_batch_is_reported(world: World, give: Give) -> None:
    give(8)
    known = [{"index": 3, "code": "Duplicate", "message": "Known since yesterday."}]
    world.box.order(fault("altered", changes={"accepted": 7, "rejected": known}))

    world.work()

    assert states() == {RedemptionState.REPORTED: 8}
    assert Report.objects.get().outcome == Outcome.ACCEPTED


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"accepted": 7}, id="one is missing"),
        pytest.param({"accepted": 9}, id="one too many"),
        pytest.param({"accepted": -1}, id="fewer than none"),
        pytest.param({"rejected": [{"index": 0, "code": "X"}]}, id="one counted twice"),
        pytest.param({"rejected": "none"}, id="words for a list"),
        pytest.param(
            {"accepted": 7, "rejected": [{"index": 8, "code": "X"}]}, id="out of it"
        ),
    ],
)
def test_a_response_with_wrong_counts_leaves_the_outcome_unknown(
    world: World, give: Give, changes: dict[str, object]
) -> None:
    give(8)
    world.box.order(fault("altered", changes=changes))

    reporting.report()

    assert Report.objects.get().outcome == Outcome.MALFORMED
    assert states() == {RedemptionState.UNCERTAIN: 8}


def test_eight_malformed_responses_need_review(world: World, give: Give) -> None:
    """A response to several redemptions counts against none: it may be about another."""
    give(2)
    world.box.order(fault("sentence_after", times=None))

    world.wait()

    assert states() == {RedemptionState.HELD: 2}
    assert set(Redemption.objects.values_list("reason", flat=True)) == {
        RedemptionReason.MALFORMED
    }
    alone = Report.objects.filter(size=1)
    assert alone.count() == 2 * outcome_policy.MAX_MALFORMED


def test_a_rejected_batch_is_halved_until_the_rejected_redemption_is_alone(
    world: World, give: Give
) -> None:
    """Of eight redemptions, each report with the first is rejected."""
    first, *others = give(8, mode="scheduled")
    for refused in (
        fault("error_before", status=400, text="C0 is closed.", times=2),
        fault("error_before", status=400, text="C0 is closed.", skip=1),
        fault("error_before", status=400, text="C0 is closed.", skip=2),
    ):
        world.box.order(refused)

    world.wait()

    first.refresh_from_db()
    sizes = Report.objects.order_by("pk").values_list("size", "outcome")
    assert (first.state, first.reason) == (
        RedemptionState.HELD,
        RedemptionReason.REFUSED,
    )
    assert "C0 is closed." in first.problem or "400" in first.problem
    assert list(sizes) == [
        *((8, "REFUSED"), (4, "REFUSED"), (4, "ACCEPTED")),
        *((2, "REFUSED"), (2, "ACCEPTED"), (1, "REFUSED"), (1, "ACCEPTED")),
    ]
    assert states() == {RedemptionState.HELD: 1, RedemptionState.REPORTED: len(others)}


# --- Contracts without safe repeats -------------------------------------------------

UNSAFE = ("repeat_is_safe = true", "repeat_is_safe = false")


def test_staff_decide_if_a_repeated_report_may_count_twice(
    world: World, give: Give, agree: Agree
) -> None:
    agree(UNSAFE)
    give(8)
    world.box.order(fault("lost_answer"))

    world.wait()

    assert states() == {RedemptionState.HELD: 8}
    assert set(Redemption.objects.values_list("reason", flat=True)) == {
        RedemptionReason.UNANSWERED
    }
    assert all(row.problem.endswith(".") for row in Redemption.objects.all())
    assert calls(world) == {BATCH: 1}
    assert counted(world) == (8, 0)


def test_a_report_without_effect_is_repeated_also_without_safe_repeats(
    world: World, give: Give, agree: Agree
) -> None:
    agree(UNSAFE)
    give(8)
    world.box.order(fault("too_many", times=2, retry_after=0))

    world.wait()

    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world) == (8, 0)


# --- Rate limit and configuration errors ----------------------------------------------


def test_retry_after_delays_the_next_report(world: World, give: Give) -> None:
    give(8)
    world.box.order(fault("too_many", retry_after=600))

    world.work()

    row = Redemption.objects.order_by("not_before")[0]
    assert row.not_before - database_now() > timedelta(seconds=590)
    assert calls(world) == {BATCH: 1}
    assert rate_limiter.remaining(Priority.PERSON) == 0


def test_a_wrong_key_causes_only_one_report(
    world: World, give: Give, settings: Settings
) -> None:
    give(8)
    right, settings.OPTIMOVE_API_KEY = settings.OPTIMOVE_API_KEY, "expired"
    for _ in range(5):
        world.work()
        Redemption.objects.update(not_before=database_now())
    tried = Report.objects.count()

    settings.OPTIMOVE_API_KEY = right
    world.wait()

    assert tried == 1
    assert states() == {RedemptionState.REPORTED: 8}
    assert not Breaker.objects.filter(opened_at__isnull=False).exists()


# --- Crashed and slow workers ---------------------------------------------------------


def claim(world: World) -> report_outcomes.ClaimedReport:
    with Promotions.from_settings() as client:
        carried = reporting.claim(batch_limit=client.batch_limit)
    assert carried is not None
    return carried


def send(carried: report_outcomes.ClaimedReport) -> None:
    with Promotions.from_settings() as client:
        reporting.send(carried, client)


def test_a_report_is_stored_before_the_call(world: World, give: Give) -> None:
    give(8)

    carried = claim(world)

    report = Report.objects.get()
    assert (report.size, report.outcome, report.token) == (8, "", carried.lease.token)
    assert set(Redemption.objects.values_list("report", flat=True)) == {report.pk}
    assert states() == {RedemptionState.REPORTING: 8}
    assert not calls(world)


@pytest.mark.parametrize("sent", [True, False])
def test_redemptions_of_a_crashed_worker_are_reported_again(
    world: World, give: Give, sent: bool
) -> None:
    give(8)
    carried = claim(world)
    if sent:
        with Promotions.from_settings() as client:
            client.report_batch([reporting.vendor_record(row) for row in carried.rows])

    world.let_time_come()
    in_doubt.expire()
    states_after_crash = states()
    world.wait()

    carried.report.refresh_from_db()
    assert states_after_crash == {RedemptionState.UNCERTAIN: 8}
    assert carried.report.outcome == Outcome.LOST
    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world) == (8, 8 if sent else 0)


def test_leased_redemptions_are_not_claimed_again(world: World, give: Give) -> None:
    give(8)
    claim(world)

    in_doubt.expire()
    reporting.report()

    assert states() == {RedemptionState.REPORTING: 8}
    assert not calls(world)


def test_a_late_response_is_evidence(world: World, give: Give, agree: Agree) -> None:
    agree(UNSAFE)
    give(8)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    in_doubt.settle()
    before = states()

    send(carried)

    assert before == {RedemptionState.HELD: 8}
    assert states() == {RedemptionState.REPORTED: 8}


def test_a_late_response_changes_no_redemption_of_another_report(
    world: World, give: Give
) -> None:
    give(8)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    in_doubt.settle()
    world.let_time_come()
    theirs = claim(world)

    send(carried)

    assert states() == {RedemptionState.REPORTING: 8}
    send(theirs)
    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world) == (8, 8)


def test_no_call_begins_that_could_last_longer_than_its_lease(
    world: World, give: Give
) -> None:
    give(8)
    carried = claim(world)
    short = Lease(reporting.MAX_CALL_SECONDS / 2, token=carried.lease.token)

    send(replace(carried, lease=short))

    assert states() == {RedemptionState.WAITING: 8}
    assert Report.objects.get().outcome == Outcome.NOT_SENT
    assert not calls(world)


def test_redemptions_without_a_response_for_days_need_review(
    world: World, give: Give
) -> None:
    give(1)
    Redemption.objects.update(failures=report_outcomes.GIVE_UP_AFTER)
    world.box.order(fault("lost_answer"))

    world.wait()

    row = Redemption.objects.get()
    assert (row.state, row.reason) == (RedemptionState.HELD, RedemptionReason.GIVEN_UP)


@pytest.mark.parametrize("status", [503, 403])
def test_redemptions_need_review_if_optimove_is_unavailable_for_days(
    world: World, give: Give, status: int
) -> None:
    give(1)
    Redemption.objects.update(failures=report_outcomes.GIVE_UP_AFTER)
    world.box.order(fault("error_before", status=status))

    world.wait()

    row = Redemption.objects.get()
    assert (row.state, row.reason) == (RedemptionState.HELD, RedemptionReason.GIVEN_UP)


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_redemption() -> None:
    RedemptionFactory.create_batch(8)

    with elsewhere() as other:
        other.begin()
        theirs = other.do(lambda: reporting._chosen(4))
        own = reporting.claim(batch_limit=4)

    assert own is not None
    carried = {row.pk for row in (*theirs, *own.rows)}
    assert len(carried) == len(theirs) + len(own.rows) == 8


@pytest.mark.parametrize("is_worker_lost", [False, True])
def test_a_report_is_repeated_only_when_the_first_cannot_arrive_any_more(
    world: World, give: Give, agree: Agree, is_worker_lost: bool
) -> None:
    agree(UNSAFE)
    give(1)
    if is_worker_lost:
        claim(world)
        Redemption.objects.update(lease_until=seconds_from_now(-1))
        in_doubt.expire()
    else:
        world.box.order(fault("lost_answer"))
        world.let_time_come()
        reporting.report()
    Redemption.objects.update(not_before=seconds_from_now(-1))
    in_doubt.settle()
    rows = Redemption.objects.all()

    early = decisions.report_again(rows, by=None, why="Not in Optimove.")
    Redemption.objects.update(lease_until=F("lease_until") - timedelta(seconds=110))
    later = decisions.report_again(rows, by=None, why="Not in Optimove.")

    [reason] = early.skipped
    assert reason.kind == SkipKind.TOO_EARLY
    assert "may still arrive until" in reason.sentence
    assert later.done == 1


def test_a_late_response_counts_although_staff_report_again(
    world: World, give: Give, agree: Agree
) -> None:
    """Optimove might count the second report."""
    agree(UNSAFE)
    give(8)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    in_doubt.settle()
    decisions.report_again(Redemption.objects.all(), by=None, why="Not in Optimove.")

    send(carried)
    world.wait()

    assert states() == {RedemptionState.REPORTED: 8}
    assert counted(world) == (8, 0)


def test_a_late_response_counts_although_staff_wrote_the_redemption_off(
    world: World, give: Give, agree: Agree
) -> None:
    agree(UNSAFE)
    give(1)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    in_doubt.settle()
    decisions.write_off(Redemption.objects.all(), by=None, why="It is too old.")

    send(carried)

    [row] = Assignment.objects.select_related("execution", "redemption")
    assert states() == {RedemptionState.REPORTED: 1}
    assert "Optimove knows it" in next_step.of(row).sentence


def test_a_late_response_counts_after_the_retries_are_exhausted(
    world: World, give: Give
) -> None:
    give(1)
    carried = claim(world)
    world.let_time_come()
    Redemption.objects.update(failures=report_outcomes.GIVE_UP_AFTER)
    in_doubt.expire()
    in_doubt.settle()
    before = states()

    send(carried)

    assert before == {RedemptionState.HELD: 1}
    assert states() == {RedemptionState.REPORTED: 1}


def test_a_late_rejection_reports_nothing(
    world: World, give: Give, agree: Agree
) -> None:
    agree(UNSAFE)
    give(8)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    in_doubt.settle()
    refusal = Refusal(index=0, code="X1", message="Unknown.", duplicate=False)
    verdict = Verdict(7, (refusal,), wire.Evidence())

    report_outcomes.conclude(carried, verdict)

    assert states() == {RedemptionState.HELD: 1, RedemptionState.REPORTED: 7}
    held = Redemption.objects.get(state=RedemptionState.HELD)
    assert held.pk == carried.rows[0].pk


def test_a_response_reports_no_redemption_of_another_request_with_its_key(
    world: World, give: Give
) -> None:
    """After a failover to a standby that lacks the last rows, primary keys repeat."""
    give(8)
    carried = claim(world)
    world.let_time_come()
    in_doubt.expire()
    Report.objects.update(token=uuid4(), outcome="")

    report_outcomes.conclude(carried, Verdict(8, (), wire.Evidence()))

    assert states() == {RedemptionState.UNCERTAIN: 8}
    assert Report.objects.get().outcome == ""
