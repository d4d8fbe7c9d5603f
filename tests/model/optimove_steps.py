"""Changes by Optimove, and the fetch of its list by the portal."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.row_moves import (
    OWNER,
    REWARD,
    cancel,
    check_totals,
    held,
    known_difference,
    mark_owed,
    mark_uncertain,
)
from tests.model.state import (
    ACTIVATE,
    ACTIVATING,
    ACTIVE,
    CANCELLED,
    HELD,
    NEEDS_REREAD,
    OWED,
    STOPPED,
    UNCERTAIN,
    UNKNOWN,
    UNLISTED,
    VOID,
    Listing,
    Reason,
    Row,
    Setting,
    State,
    Step,
    name,
    replaced,
    with_row,
)

_LISTINGS = (
    (Listing(), "assigns {} with 1 EUR"),
    (Listing(CANCELLED), "cancels {}"),
    (Listing(UNKNOWN), "lists {} with an unknown status"),
    (Listing(ACTIVATE, 2), "assigns {} with 2 EUR"),
    (Listing(ACTIVATE, 1, is_other_owner=True), "lists {} for another customer"),
)


def change(state: State, setting: Setting) -> Iterator[Step]:
    """Optimove changes a row of its list, or cancels the execution (event 4)."""
    if not state.changes:
        return
    left = state._replace(changes=state.changes - 1)
    for index, listed in enumerate(state.listings):
        for listing, text in _LISTINGS:
            is_unlisted = state.rows[index].state == UNLISTED
            if listing != listed and not (listing.is_other_owner and is_unlisted):
                listings = replaced(state.listings, index, listing)
                story = f"Optimove {text.format(name(index))}."
                yield Step(story, left._replace(listings=listings), disturbs=True)
    if state.stop != STOPPED:
        rows = tuple(cancel(row) for row in state.rows)
        yield Step(
            "Optimove cancels the execution.", _with_rows(left, rows, STOPPED), True
        )


def _with_rows(state: State, rows: tuple[Row, ...], stop: str) -> State:
    for index, row in enumerate(rows):
        state = with_row(state, index, row)
    return state._replace(stop=stop)


def fetch(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `ingest.store`: the portal stores a row of the list."""
    for index, row in enumerate(state.rows):
        if row.state == UNLISTED:
            yield from _insert(state, index, setting)
        elif (stored := _apply_changes(state, index, setting)) != state:
            stored = check_totals(stored, setting.total_limit)
            yield Step(f"The portal fetches {name(index)} again.", stored)


def _insert(state: State, index: int, setting: Setting) -> Iterator[Step]:
    """Stand for `ingest._New.add`: in a gap, the reward may have been sent."""
    listed, gap = state.listings[index], state.gap
    new = state.rows[index]._replace(listed=listed, value=listed.value, cleared=False)
    row = _evaluated(new, state, setting)
    story = f"The portal fetches {name(index)}."
    if gap is None:
        yield Step(story, _stored(state, index, row, setting))
        return
    lease = gap.lease if setting.rules.gap_rows_wait_for_old_leases else None
    doubt = row._replace(doubtful=True, first_sent=gap.since, lease=lease)
    if row.state == VOID and not setting.rules.cancelled_rows_of_a_gap_are_doubtful:
        doubt = row
    yield Step(story, _stored(state, index, doubt, setting))
    if not setting.rules.mark_and_store_exclude:
        story = f"A transaction from before the marking stores {name(index)}."
        yield Step(story, _stored(state, index, row, setting))


def _stored(state: State, index: int, row: Row, setting: Setting) -> State:
    counted = row.value if row.listed.meaning == ACTIVATE else 0
    stored = with_row(state, index, row)._replace(tally=state.tally + counted)
    return check_totals(stored, setting.total_limit)


def _evaluated(row: Row, state: State, setting: Setting) -> Row:
    """Stand for `evaluation.evaluate`."""
    if row.listed.meaning == CANCELLED:
        return row._replace(state=VOID, reason=str(Reason.CANCELLED))
    if row.listed.meaning == UNKNOWN:
        return held(row, Reason.UNKNOWN_STATUS)
    if state.stop == STOPPED:
        return row._replace(state=VOID, reason=str(Reason.CANCELLED))
    if row.listed.value > setting.reward_limit:
        return held(row, Reason.OVER_LIMIT)
    return row._replace(state=OWED)


def _apply_changes(state: State, index: int, setting: Setting) -> State:
    """Stand for `changes.apply_changes`, for one row."""
    old, now = state.rows[index], state.listings[index]
    if not _has_changed(old, now, setting):
        return state
    is_valid = now.meaning == ACTIVATE
    value = now.value if is_valid and old.order is None else old.value
    row = _apply(old._replace(listed=now, value=value), old, state, setting)
    tally = state.tally + _counted(row, old, value, setting)
    return with_row(state, index, row)._replace(tally=tally)


def _counted(row: Row, old: Row, value: int, setting: Setting) -> int:
    was_counted = old.order is not None or old.listed.meaning == ACTIVATE
    counts = row.listed.meaning == ACTIVATE or (was_counted and may_be_active(old))
    if was_counted and counts and not setting.rules.tally_follows_value:
        return 0
    return value * counts - old.value * was_counted


def may_be_active(row: Row) -> bool:
    return row.order is not None or row.doubtful or row.state == ACTIVE


def least_counted(row: Row) -> int:
    """Return the part of the row in the total, if a row counts as unsent while its outcome is unknown."""
    is_sent = row.order is not None or row.state == ACTIVE
    is_counted = row.listed.meaning == ACTIVATE or is_sent
    return row.value if row.state != UNLISTED and is_counted else 0


def _has_changed(old: Row, now: Listing, setting: Setting) -> bool:
    if old.listed.meaning != now.meaning or difference(old, now):
        return True
    may_matter = old.reason in NEEDS_REREAD or known_difference(old, setting.rules)
    return bool(may_matter) and old.listed != now


def difference(old: Row, now: Listing) -> str:
    """Stand for `changes._difference`."""
    if now.is_other_owner:
        return OWNER
    is_other = now.meaning == ACTIVATE and now.value != old.value
    return REWARD if is_other else ""


def _apply(row: Row, old: Row, state: State, setting: Setting) -> Row:
    """Stand for `changes._apply`: `row` has the new columns, `old` the earlier ones."""
    found = difference(old, row.listed)
    if row.listed.meaning == UNKNOWN:
        return _hold_unclear(row, state.stop)
    if row.listed.meaning == CANCELLED:
        return cancel(row)
    if _is_newly_assigned(old, setting):
        return _assign(row, found, state, setting)
    return _hold_differing(row, found, setting) if found else row


def _hold_unclear(row: Row, stop: str) -> Row:
    """Stand for `changes._hold_unclear`."""
    waiting = (OWED,) if stop == STOPPED else (OWED, VOID)
    if row.doubtful:
        return mark_uncertain(row) if row.state == OWED else row
    if row.state in waiting and row.reason != Reason.WRITTEN_OFF:
        return held(row, Reason.UNKNOWN_STATUS)
    return row


def _is_newly_assigned(old: Row, setting: Setting) -> bool:
    """Stand for `changes._is_newly_assigned`."""
    if old.state == VOID:
        is_final = old.reason == Reason.WRITTEN_OFF and setting.rules.written_off_stays
        return old.listed.meaning != ACTIVATE and not is_final
    return old.state == HELD and old.reason in NEEDS_REREAD and not old.doubtful


def _assign(row: Row, found: str, state: State, setting: Setting) -> Row:
    """Stand for `changes._assign`: evaluate the row like a new one."""
    kept = found if row.order is not None or found == OWNER else ""
    row = row._replace(difference=kept, reason="")
    verdict = _evaluated(row, state, setting)
    if verdict.state == OWED and kept:
        verdict = held(row, Reason.DIFFERS)
    if verdict.state == HELD:
        return verdict._replace(cleared=False)
    return mark_owed(row, state.stop, setting.rules, difference=kept, cleared=False)


def _hold_differing(row: Row, found: str, setting: Setting) -> Row:
    """Stand for `changes._hold_differing`."""
    if not setting.rules.difference_needs_approval:
        return row
    if row.state == OWED and not row.doubtful:
        return held(row, Reason.DIFFERS)._replace(difference=found)
    if row.state in (OWED, ACTIVATING, UNCERTAIN, ACTIVE):
        return row._replace(reason=str(Reason.DIFFERS), difference=found)
    return row._replace(difference=found) if row.state == HELD else row
