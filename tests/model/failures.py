"""Time that passes, and faults: crashes, set clocks, restored backups, new settings."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.activation_steps import free, lose
from tests.model.optimove_steps import least_counted
from tests.model.state import (
    ACTIVATING,
    ACTIVE,
    CLOCK_STEP,
    GRACE,
    OWED,
    RETENTION,
    UNLISTED,
    Claim,
    Gap,
    Record,
    Request,
    Row,
    Setting,
    State,
    Step,
    name,
    with_row,
)


def wait(state: State, setting: Setting) -> Iterator[Step]:
    """A period passes. A worker that still holds a claim is slow, which is a fault."""
    is_slow = any(taken and taken.fresh for taken in state.claims)
    if is_slow and not state.faults:
        return
    after = _shifted(state, 1, setting)._replace(
        requests=tuple(_aged(state.requests)),
        records=tuple(_record_aged(record) for record in state.records),
        claims=tuple(taken and taken._replace(fresh=False) for taken in state.claims),
        faults=state.faults - is_slow,
    )
    if after != state:
        yield Step("A period passes.", after, disturbs=is_slow)


def _aged(requests: tuple[Request, ...]) -> Iterator[Request]:
    """A request that is older than one period never arrives."""
    return (each._replace(age=1) for each in requests if not each.age)


def _record_aged(record: Record) -> Record:
    if record.key is None:
        return record
    return record._replace(key=record.key + 1 if record.key + 1 < RETENTION else None)


def _shifted(state: State, by: int, setting: Setting) -> State:
    """Change all ages by the database's clock."""
    rows = tuple(
        row._replace(
            first_sent=_sent_before(row.first_sent, by, setting),
            lease=None if row.lease is None else min(row.lease + by, GRACE),
        )
        for row in state.rows
    )
    gap = state.gap
    if gap:
        since = _sent_before(gap.since, by, setting)
        gap = Gap(since if since is not None else RETENTION, min(gap.lease + by, GRACE))
    return state._replace(rows=rows, gap=gap)


def _sent_before(age: int | None, by: int, setting: Setting) -> int | None:
    if age is None:
        return None
    if age + by < 0 and setting.rules.time_in_future_is_doubt:
        return RETENTION  # nothing is known about the age any more
    return min(age + by, RETENTION)


def set_clock(state: State, setting: Setting) -> Iterator[Step]:
    """The clock of the database is set, by more than a lease and the retention."""
    if not state.faults:
        return
    left = state._replace(faults=state.faults - 1)
    back = _shifted(left, -CLOCK_STEP, setting)
    yield Step("The clock of the database is set back.", back, disturbs=True)
    if _may_set_forward(state, setting):
        forward = _shifted(left, CLOCK_STEP, setting)
        yield Step("The clock of the database is set forward.", forward, disturbs=True)


def _may_set_forward(state: State, setting: Setting) -> bool:
    """
    Return False in the case that docs/guarantees.md excludes.

    A step shortens the grace period of a request that got no response before the step,
    or whose claim a restored backup lacks. This does no harm if neither the platform
    nor staff are asked about the request, and the platform knows its key.
    """
    is_asked = setting.askable or setting.bounds.decisions
    forgets_nothing = setting.is_idempotent(state) and not is_asked
    requests = {request.row for request in state.requests}
    return forgets_nothing or not (
        any(state.rows[row].state != ACTIVATING for row in requests)
        or any(
            taken and _is_lost(taken, n, state) for n, taken in enumerate(state.claims)
        )
    )


def _is_lost(taken: Claim, worker: int, state: State) -> bool:
    row = state.rows[taken.row]
    return row.state != ACTIVATING or row.token != worker + 1


def kill(state: State, setting: Setting) -> Iterator[Step]:
    """A worker is killed; the requests that it sent may still arrive."""
    if not state.faults:
        return
    left = state._replace(faults=state.faults - 1)
    for worker, taken in enumerate(state.claims):
        if taken:
            after = free(left, worker)
            row = after.rows[taken.row]
            if row.token == worker + 1:
                after = with_row(after, taken.row, row._replace(token=0))
            yield Step(f"Worker {worker + 1} is killed.", after, disturbs=True)


def upgrade(state: State, setting: Setting) -> Iterator[Step]:
    """The platform learns to keep keys, and the new setting says so."""
    is_possible = not setting.idempotent and not state.upgraded and not state.gap
    if state.faults and is_possible:
        after = state._replace(faults=state.faults - 1, upgraded=True)
        story = "The platform becomes idempotent, and new workers know it."
        yield Step(story, after, disturbs=True)


# --- A restored backup ----------------------------------------------------------------


def restore(state: State, setting: Setting) -> Iterator[Step]:
    """An earlier state of the database is restored; the platform forgets nothing."""
    if not state.faults or state.upgraded or state.gap:
        return
    left = state._replace(faults=state.faults - 1)
    for index, row in enumerate(state.rows):
        if state.listings[index].is_other_owner or row.listed.is_other_owner:
            continue  # the reward of the other customer would be listed as a new row
        for text, earlier in _earlier(row, _first_sent(state, index)):
            after = _restored(left, index, earlier, setting)
            story = f"A backup is restored, in which {name(index)} {text}."
            yield Step(story, after, disturbs=True)


def _earlier(row: Row, since: int) -> Iterator[tuple[str, Row]]:
    if row.state == UNLISTED:
        return
    kept = Row(approved=row.approved)
    yield "is unknown", kept
    yield "is pending", kept._replace(state=OWED)
    if row.state == ACTIVE:
        claimed = kept._replace(state=ACTIVATING, order=1, first_sent=since, lease=0)
        yield "is being sent", claimed
    else:
        yield "is as now", row


def _restored(state: State, index: int, earlier: Row, setting: Setting) -> State:
    """Stand for `restored_backup._mark_possibly_sent`."""
    since = max(_first_sent(state, each) for each in range(len(state.rows)))
    state = with_row(state, index, earlier)
    state = state._replace(tally=sum(map(least_counted, state.rows)))
    for each, row in enumerate(state.rows):
        state = with_row(state, each, _possibly_sent(row, since, setting))
    return state._replace(gap=Gap(since, -GRACE))


def _possibly_sent(row: Row, since: int, setting: Setting) -> Row:
    lost = lose(row, setting) if row.state == ACTIVATING else row
    is_marked = setting.rules.restored_rows_are_doubtful
    if row.state in (UNLISTED, ACTIVE) or not is_marked:
        return lost
    sent = since if row.first_sent is None else row.first_sent
    return lost._replace(doubtful=True, first_sent=sent, lease=-GRACE)


def _first_sent(state: State, index: int) -> int:
    """Return the age of the first request that the backup may lack."""
    row, record = state.rows[index], state.records[index]
    if record.credits and record.key is None:
        return RETENTION
    ages = [row.first_sent or 0, record.key or 0]
    ages += [each.age for each in state.requests if each.row == index]
    return max(ages)
