"""Each rule of the engine is needed: without it, a run breaks a guarantee."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.model import properties, rules, search
from tests.model.state import CAPABILITIES, Bounds, Setting


@dataclass(frozen=True)
class Witness:
    """The bounds in which a run breaks the guarantee, and a step of this run."""

    rule: str
    bounds: Bounds
    guarantee: str
    step: str
    capability: str = "askable"
    total_limit: int = 2
    also: str = ""
    """A rule that holds the same guarantee, and must be switched off, too."""

    def explore(self) -> search.Explored:
        off = [name for name in (self.rule, self.also) if name]
        setting = Setting(
            *CAPABILITIES[self.capability],
            bounds=self.bounds,
            rules=rules.without(*off),
            total_limit=self.total_limit,
        )
        return search.explore(setting)


# Rules that hold a guarantee a second time: without them, no run breaks a guarantee.
# Each has the reason.
SECOND_LINES = {
    "proof_moves_owed": "Staff say the truth, after the last arrival of the request.",
    "late_receipt_counts": "Staff see the reward, and find the credit.",
    "look_up_compares_attempts": "A new claim starts a new grace period.",
    "claim_confirmed_before_send": "A worker also measures its lease by its own clock.",
    "unsettled_rows_are_held": "A row that no worker may send is resolved at once.",
}
WITNESSES = [
    Witness(
        "decision_checks_version",
        Bounds(1, 2, 0, 2, workers=1),
        properties.NEVER_TWICE,
        "Anna marks reward A as not activated.",
        capability="neither",
    ),
    Witness(
        "resume_checks_figures",
        Bounds(2, 0, 0, 1),
        properties.WITHIN_LIMITS,
        "Anna resumes the execution.",
        total_limit=0,
    ),
    Witness(
        "limits_asked_on_retry",
        Bounds(1, 0, 1, 1),
        properties.WITHIN_LIMITS,
        "Ben approves reward A.",
    ),
    Witness(
        "totals_asked_on_retry",
        Bounds(1, 0, 1, 1),
        properties.TALLY,
        "Ben approves reward A.",
    ),
    Witness(
        "tally_follows_value",
        Bounds(1, 0, 1, 0),
        properties.TALLY,
        "The portal fetches reward A again.",
    ),
    Witness(
        "owner_difference_kept",
        Bounds(1, 1, 1, 1),
        properties.RIGHT_REWARD,
        "Ben retries reward A.",
    ),
    Witness(
        "late_answer_matched_by_key",
        Bounds(2, 1, 0, 0, workers=1),
        properties.NEVER_LOST,
        "Worker 1 gets the receipt for reward A.",
    ),
    Witness(
        "time_in_future_is_doubt",
        Bounds(1, 2, 0, 0, workers=1),
        properties.NEVER_TWICE,
        "The clock of the database is set back.",
        capability="idempotent",
    ),
    Witness(
        "mark_and_store_exclude",
        Bounds(1, 1, 0, 0, workers=1),
        properties.NEVER_TWICE,
        "A transaction from before the marking stores reward A.",
    ),
    Witness(
        "gap_rows_wait_for_old_leases",
        Bounds(1, 2, 0, 0),
        properties.NEVER_TWICE,
        "A backup is restored, in which reward A is unknown.",
    ),
    Witness(
        "cancelled_rows_of_a_gap_are_doubtful",
        Bounds(1, 1, 1, 0),
        properties.NO_UNKNOWN_CREDIT,
        "A backup is restored, in which reward A is unknown.",
    ),
    Witness(
        "restored_rows_are_doubtful",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "A backup is restored, in which reward A is pending.",
    ),
    Witness(
        "attempt_records_promise",
        Bounds(1, 2, 0, 0),
        properties.NEVER_TWICE,
        "The platform becomes idempotent, and new workers know it.",
    ),
    Witness(
        "decision_after_last_byte",
        Bounds(1, 1, 0, 1),
        properties.NEVER_TWICE,
        "Ben marks reward A as not activated.",
        capability="neither",
    ),
    Witness(
        "key_retention_less_margin",
        Bounds(1, 2, 0, 0),
        properties.NEVER_TWICE,
        "The platform credits reward A.",
        capability="idempotent",
    ),
    Witness(
        "not_found_after_grace",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "The platform says about reward A: not found.",
    ),
    Witness(
        "grace_ends_before_question",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "The platform says about reward A: not found.",
    ),
    Witness(
        "lease_kept_while_doubtful",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "Worker 1 gets a 503 from a gateway for reward A.",
    ),
    Witness(
        "stranded_rows_are_resolved",
        Bounds(1, 1, 0, 0, workers=1),
        properties.PROGRESS,
        "A backup is restored, in which reward A is unknown.",
        also="unsettled_rows_are_held",
    ),
    Witness(
        "written_off_stays",
        Bounds(1, 0, 2, 1),
        properties.STAYS_WRITTEN_OFF,
        "Ben writes reward A off.",
    ),
    Witness(
        "cancelled_is_not_sent_again",
        Bounds(1, 0, 1, 0),
        properties.PROGRESS,
        "Worker 1 hands the reward back unsent for reward A.",
    ),
    Witness(
        "token_compared",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "Worker 2 claims reward A.",
    ),
    Witness(
        "expired_is_uncertain",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "The scheduler notices that the lease of reward A has ended.",
    ),
    Witness(
        "doubt_starts_grace",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "The clock of the database is set forward.",
    ),
    Witness(
        "gateway_error_is_doubt",
        Bounds(1, 1, 0, 0),
        properties.NEVER_TWICE,
        "Worker 1 gets a 503 from a gateway for reward A.",
    ),
    Witness(
        "difference_needs_approval",
        Bounds(1, 0, 1, 0),
        properties.RIGHT_REWARD,
        "The portal fetches reward A again.",
    ),
]


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda witness: witness.rule)
def test_without_the_rule_a_run_breaks_a_guarantee(witness: Witness) -> None:
    found = witness.explore()

    assert found.violation is not None
    assert found.violation.guarantee == witness.guarantee, str(found.violation)
    assert witness.step in found.violation.story, str(found.violation)


@pytest.mark.parametrize("rule", SECOND_LINES)
def test_another_rule_holds_the_guarantee_as_well(rule: str) -> None:
    bounds = Bounds(1, 1, 1, 0)
    setting = Setting(False, True, bounds=bounds, rules=rules.without(rule))

    assert search.explore(setting).violation is None


def test_every_rule_has_a_witness_or_is_a_second_line() -> None:
    named = [witness.rule for witness in WITNESSES]
    assert sorted([*named, *SECOND_LINES]) == sorted(rules.names())


def test_a_broken_guarantee_is_shown_as_a_numbered_story() -> None:
    [witness] = [each for each in WITNESSES if each.rule == "tally_follows_value"]

    found = witness.explore()

    assert str(found.violation) == (
        f"Broken: {properties.TALLY}.\n"
        "1. The portal fetches reward A.\n"
        "2. Optimove assigns reward A with 2 EUR.\n"
        "3. The portal fetches reward A again."
    )
