"""Batches that fail as a whole: one redemption's trouble does not delay the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_django import Settings

from promoportal.db.database_clock import database_now
from promoportal.optimove.rate_limiter import Allowance
from promoportal.resilience import circuit_breaker, outcome_policy
from promoportal.resilience.circuit_breaker import Side
from redemptions import in_doubt, report_outcomes, reporting
from redemptions.models import Redemption, RedemptionReason, RedemptionState, Report
from tests.conftest import Agree
from tests.promoportal.wire import raw_server
from tests.redemptions.conftest import Give
from tests.rewards.collection import customer_lists
from tests.world import World

HELD, REPORTED = RedemptionState.HELD, RedemptionState.REPORTED
FAILURES = {
    "500": customer_lists.status(500),
    "502": customer_lists.status(502),
    "409": customer_lists.status(409),
    "no answer": customer_lists.no_answer,
    "no JSON": customer_lists.text(b"<html>"),
    "a sentence": customer_lists.text(b'"Internal error"'),
}


@dataclass
class Reports:
    """Optimove's answers to reports: a report with a failing customer fails as a whole."""

    failing: dict[str, customer_lists.Answer] = field(default_factory=dict)
    always: customer_lists.Answer | None = None
    sizes: list[int] = field(default_factory=list)

    def speak(self, connection: raw_server.Connection) -> None:
        while (body := connection.hear()) is not None:
            answer = self._answer(json.loads(body))
            answer(connection)
            if answer is customer_lists.no_answer:
                return

    def _answer(self, said: dict[str, Any]) -> customer_lists.Answer:
        reports = said.get("redemptions", [said])
        self.sizes.append(len(reports))
        for report in reports:
            if failure := self.always or self.failing.get(report["customerId"]):
                return failure
        is_batch = "redemptions" in said
        counted = {"accepted": len(reports), "rejected": []}
        good = counted if is_batch else {"status": "Accepted"}
        return customer_lists.text(json.dumps(good).encode())


Serve = Callable[[int], Reports]


@pytest.fixture
def optimove(give: Give, settings: Settings) -> Iterator[Serve]:
    """Return a function that activates rewards, whose reports a real socket gets."""
    answers = Reports()
    with raw_server.serving(answers.speak) as server:

        def serve(count: int) -> Reports:
            give(count, mode="scheduled")
            settings.OPTIMOVE_PROMOTIONS_URL = server.address
            return answers

        yield serve


def report(world: World, rounds: int) -> None:
    """Report due redemptions, and let the time pass, a number of times."""
    for _ in range(rounds):
        world.let_time_come()
        Allowance.objects.all().delete()  # the rate limit is no part of these tests
        in_doubt.settle()
        reporting.report()


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_redemption_is_separated_whatever_the_failure(
    optimove: Serve, world: World, failure: str
) -> None:
    answers = optimove(16)
    answers.failing["C11"] = FAILURES[failure]

    report(world, 6)

    other = Redemption.objects.exclude(state=REPORTED).get()
    assert other.assignment.customer == "C11"
    assert not circuit_breaker.is_open(Side.VENDOR)


def test_failures_of_a_batch_count_against_none_of_its_rows(
    optimove: Serve, world: World
) -> None:
    answers = optimove(16)
    Redemption.objects.update(
        failures=report_outcomes.GIVE_UP_AFTER,
        malformed=outcome_policy.MAX_MALFORMED - 1,
    )
    answers.failing["C3"] = FAILURES["500"]
    answers.failing["C12"] = FAILURES["a sentence"]

    report(world, 8)

    held = Redemption.objects.filter(state=HELD).order_by("pk")
    assert [(row.assignment.customer, row.reason) for row in held] == [
        ("C3", RedemptionReason.GIVEN_UP),
        ("C12", RedemptionReason.MALFORMED),
    ]
    assert Redemption.objects.filter(state=REPORTED).count() == 14


def test_a_failing_redemption_pauses_no_other_calls(
    optimove: Serve, world: World
) -> None:
    answers = optimove(2)
    answers.failing["C0"] = FAILURES["500"]

    for _ in range(15):
        report(world, 1)

        assert not circuit_breaker.is_open(Side.VENDOR)


def test_the_outcome_of_a_divided_batch_is_unknown_if_repeats_count_twice(
    optimove: Serve, world: World, agree: Agree
) -> None:
    agree(("repeat_is_safe = true", "repeat_is_safe = false"))
    answers = optimove(8)
    answers.failing["C3"] = FAILURES["500"]

    report(world, 4)

    reasons = set(Redemption.objects.values_list("state", "reason"))
    assert reasons == {(HELD, RedemptionReason.UNANSWERED)}
    assert answers.sizes == [8]


def test_an_outage_counts_against_the_rows_and_divides_little(
    optimove: Serve, world: World
) -> None:
    answers = optimove(64)
    answers.always = FAILURES["500"]
    report(world, 30)
    before = len(answers.sizes)
    assert Redemption.objects.filter(failures__gt=0).count() >= 8

    answers.always = None
    report(world, 5)

    assert Redemption.objects.filter(state=REPORTED).count() == 64
    assert len(answers.sizes) - before < 16
    assert before <= 45


def test_batches_grow_again_after_a_success(optimove: Serve, world: World) -> None:
    answers = optimove(64)
    Redemption.objects.update(batch_limit=4)

    world.wait()

    assert answers.sizes == [4, 8, 16, 32, 4]


def test_a_redemption_that_staff_report_again_stays_alone(
    optimove: Serve, world: World
) -> None:
    answers = optimove(3)
    Redemption.objects.update(batch_limit=1)

    world.wait()

    assert answers.sizes == [1, 1, 1]


@pytest.mark.parametrize("status", [401, 403, 503])
def test_batches_are_not_divided_if_no_redemption_is_the_cause(
    optimove: Serve, world: World, status: int
) -> None:
    answers = optimove(8)
    answers.always = customer_lists.status(status)
    Redemption.objects.update(not_before=database_now())

    reporting.report()

    assert not Redemption.objects.filter(batch_limit__gt=0).exists()
    assert Report.objects.count() == 1
