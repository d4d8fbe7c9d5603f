"""The rules of the engine that the model can switch off, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Rules:
    """
    The lines of the engine that hold a guarantee. If one is off, a guarantee breaks.

    `tests/model/test_witnesses.py` shows for each rule the shortest run that breaks a
    guarantee without it. The text below each rule names the code that holds the rule.
    The number is that of the kind of fault: 1 a decision about an outdated page, 2 a way
    past a limit, 3 another owner, 4 identity, 5 a restored backup or a set clock, 6 a
    changed setting, 7 a late request, 8 ignored proof, 9 a hidden row, 11 other lines.
    """

    decision_checks_version: bool = True
    """`rewards.decisions`: a decision is about the row that staff saw. (1)"""

    resume_checks_figures: bool = True
    """`executions.lifecycle.resume`: staff approve the totals that they saw. (1)"""

    limits_asked_on_retry: bool = True
    """`decisions._as_listed`, `_ask_for_approval`: the limit for one reward. (2)"""

    totals_asked_on_retry: bool = True
    """`listed_again.take_over`: a new value counts against the limit of all. (2)"""

    tally_follows_value: bool = True
    """`changes.apply_changes`: the total contains the value that is listed now. (2)"""

    owner_difference_kept: bool = True
    """`Assignment.difference`: a refusal does not overwrite the other owner. (3)"""

    late_answer_matched_by_key: bool = True
    """`outcomes.apply_receipts`: a late receipt is matched by its key. (4)"""

    time_in_future_is_doubt: bool = True
    """`claims.within_key_retention`: a first request in the future has no age. (5)"""

    mark_and_store_exclude: bool = True
    """`database_identity.lock_gaps`: no row is stored while the rows are being marked. (5)"""

    gap_rows_wait_for_old_leases: bool = True
    """`ingest._New.add`: "not found" waits for the claims from before a gap. (5)"""

    cancelled_rows_of_a_gap_are_doubtful: bool = True
    """`ingest._New.add`: staff see a cancelled reward that may have been sent. (5)"""

    restored_rows_are_doubtful: bool = True
    """`restored_backup._mark_possibly_sent`: rows may have been sent since then. (5)"""

    attempt_records_promise: bool = True
    """`promises.remembered`: the platform promised to keep this key. (6)"""

    decision_after_last_byte: bool = True
    """`request_lifetime._versioned_requests`: staff looked after the arrival. (7)"""

    key_retention_less_margin: bool = True
    """`claims.within_key_retention`: the key is known until the last arrival. (7)"""

    not_found_after_grace: bool = True
    """`in_doubt._not_found`: the request cannot arrive any more. (7)"""

    grace_ends_before_question: bool = True
    """`in_doubt._not_found`: the grace period ended before the look-up began. (7)"""

    lease_kept_while_doubtful: bool = True
    """`request_lifetime.released`: the grace period follows the lease. (7)"""

    proof_moves_owed: bool = True
    """`in_doubt._conclude`: proof of a credit counts in every state. (8)"""

    late_receipt_counts: bool = True
    """`outcomes.apply_receipts`: a receipt counts after the end of the claim. (8)"""

    stranded_rows_are_resolved: bool = True
    """`in_doubt._stop_stranded`: a row that no worker may send is resolved. (9)"""

    unsettled_rows_are_held: bool = True
    """`deadlines.hold_unsettled`: staff see what stays unknown for too long. (9)"""

    look_up_compares_attempts: bool = True
    """`in_doubt._conclude`: "not found" is about the attempt before it. (11)"""

    written_off_stays: bool = True
    """`changes._is_newly_assigned`: a list does not undo a write-off. (11)"""

    cancelled_is_not_sent_again: bool = True
    """`transitions.mark_owed`: a cancelled reward never becomes pending. (11)"""

    token_compared: bool = True
    """`outcomes._claimed`: only the current claim applies a result."""

    claim_confirmed_before_send: bool = True
    """`claims.confirm_claim`: the claim has not ended before the call begins."""

    expired_is_uncertain: bool = True
    """`deadlines.expire`: after a lease, the outcome is unknown."""

    doubt_starts_grace: bool = True
    """`request_lifetime.lease_end_of_doubt`: the grace is whole after a set clock."""

    gateway_error_is_doubt: bool = True
    """`outcomes.retry`: after a 503, the reward may be activated."""

    difference_needs_approval: bool = True
    """`changes._hold_differing`: staff confirm another reward before it is sent."""


ALL = Rules()


def names() -> list[str]:
    """Return the names of all rules."""
    return [field.name for field in fields(Rules)]


def without(*off: str) -> Rules:
    """Return the rules of the engine with these rules switched off."""
    return replace(ALL, **dict.fromkeys(off, False))
