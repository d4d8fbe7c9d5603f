"""The guarantees, as conditions of single states and of single steps."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.optimove_steps import least_counted
from tests.model.state import (
    ACTIVATE,
    ACTIVATING,
    ACTIVE,
    HELD,
    OWED,
    PAUSED,
    STOPPED,
    VOID,
    Reason,
    Record,
    Row,
    Setting,
    State,
)

NEVER_TWICE = "the platform credits a reward at most once"
NEVER_LOST = "a reward without a credit is not shown as activated"
NO_UNKNOWN_CREDIT = "a reward that counts as not activated has no credit"
NEVER_SILENT = "a row that needs review has a reason"
WITHIN_LIMITS = "no credit passes a limit that staff did not raise"
RIGHT_REWARD = "the portal sends what Optimove lists, to the customer that it lists"
STAYS_WRITTEN_OFF = "a list does not undo a write-off"
TALLY = "the total contains each reward that is assigned or was sent"
PROGRESS = "without further faults, each row reaches a final state or staff see it"


def broken(state: State, setting: Setting) -> Iterator[str]:
    """Yield the guarantees that this state breaks."""
    for row, record in zip(state.rows, state.records, strict=True):
        yield from _broken_by_row(row, record, setting)
    total = sum(record.value for record in state.records)
    if total > max(setting.total_limit, state.approved):
        yield WITHIN_LIMITS
    if state.tally < sum(_counted(row, state) for row in state.rows):
        yield TALLY


def _broken_by_row(row: Row, record: Record, setting: Setting) -> Iterator[str]:
    if record.credits > 1:
        yield NEVER_TWICE
    if row.state == ACTIVE and not record.credits:
        yield NEVER_LOST
    # The overview counts rows in VOID that are possibly activated: staff decide.
    if row.state == VOID and record.credits and not row.doubtful:
        yield NO_UNKNOWN_CREDIT
    if row.state in (HELD, VOID) and not row.reason:
        yield NEVER_SILENT
    if record.value > max(setting.reward_limit, row.approved):
        yield WITHIN_LIMITS


def _counted(row: Row, state: State) -> int:
    # After a restored backup, a cancelled reward that has a credit does not count.
    return least_counted(row) if state.gap is None or _is_assigned(row) else 0


def _is_assigned(row: Row) -> bool:
    return row.listed.meaning == ACTIVATE


def broken_by(before: State, after: State) -> Iterator[str]:
    """Yield the guarantees that the step from one state to the other breaks."""
    if before.gap != after.gap and before.gap is None:
        return  # a restored backup changes rows without a step of the portal
    for old, new in zip(before.rows, after.rows, strict=True):
        if old is new or old.state == new.state:
            continue
        if old.state == OWED and new.state == ACTIVATING and not _is_right(new):
            yield RIGHT_REWARD
        if old.reason == Reason.WRITTEN_OFF and new.state in (OWED, HELD):
            yield STAYS_WRITTEN_OFF


def _is_right(row: Row) -> bool:
    """Return whether a claimed row is sent as Optimove lists it."""
    if row.doubtful:
        return True  # the same order again, which the platform may know already
    return row.order == row.listed.value and not row.listed.is_other_owner


def is_settled(state: State) -> bool:
    """Return whether each row is in a final state, or staff see what stops it."""
    return all(_is_settled(row, state, index) for index, row in enumerate(state.rows))


def _is_settled(row: Row, state: State, index: int) -> bool:
    if row.state == OWED:
        return state.stop in ("OVER", PAUSED)
    if row.state == VOID:
        is_final = row.reason == Reason.WRITTEN_OFF or state.stop == STOPPED
        return is_final or state.listings[index].meaning != ACTIVATE
    return row.state in (ACTIVE, HELD)
