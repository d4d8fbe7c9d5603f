"""Claims, requests and their results, as in `rewards.activation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from promoportal.resilience.outcome_policy import FOLLOWS
from tests.model.row_moves import (
    grace_from_now,
    held,
    known_difference,
    mark_active,
    mark_owed,
)
from tests.model.state import (
    ACTIVATE,
    ACTIVATING,
    ACTIVE,
    GRACE,
    OWED,
    RETENTION,
    RUNNING,
    UNCERTAIN,
    VOID,
    Claim,
    Reason,
    Record,
    Request,
    Row,
    Setting,
    State,
    Step,
    name,
    replaced,
    with_row,
)

CLAIMED, SENT, CREDITED = "CLAIMED", "SENT", "CREDITED"


def claim(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `claims.claim`: a free worker claims a pending reward."""
    free = next((n for n, each in enumerate(state.claims) if each is None), None)
    if free is None or state.stop != RUNNING:
        return
    for index, row in enumerate(state.rows):
        for is_idempotent in _capabilities(state, setting):
            if is_claimable(row, is_idempotent, setting):
                claimed = _claimed(state, free, index, is_idempotent)
                yield Step(f"Worker {free + 1} claims {name(index)}.", claimed)


def _capabilities(state: State, setting: Setting) -> set[bool]:
    """Return the capabilities of running workers: old and new ones run together."""
    return {setting.idempotent, setting.is_idempotent(state)}


def _claimed(state: State, worker: int, index: int, is_idempotent: bool) -> State:
    row = state.rows[index]
    order = row.value if row.order is None else row.order
    taken = row._replace(
        state=ACTIVATING,
        order=order,
        first_sent=0 if row.first_sent is None else row.first_sent,
        promised=row.promised and is_idempotent,
        lease=-GRACE,
        token=worker + 1,
    )
    question = state.question
    if question and question.row == index:
        question = question._replace(outdated=True)
    own = Claim(index, order, idempotent=is_idempotent)
    claims = replaced(state.claims, worker, own)
    return with_row(state._replace(claims=claims, question=question), index, taken)


def is_claimable(row: Row, is_idempotent: bool, setting: Setting) -> bool:
    """Stand for `claims.claimable`."""
    return (
        row.state == OWED and row.cleared and is_sendable(row, is_idempotent, setting)
    )


def is_sendable(row: Row, is_idempotent: bool, setting: Setting) -> bool:
    """Stand for `claims.sendable`."""
    if row.listed.meaning != ACTIVATE and setting.rules.cancelled_is_not_sent_again:
        return False
    if not row.doubtful:
        return True
    is_same = row.order is not None or not known_difference(row, setting.rules)
    return is_idempotent and is_same and is_within_retention(row, setting)


def is_within_retention(row: Row, setting: Setting) -> bool:
    """Stand for `claims.within_key_retention`."""
    margin = 1 if setting.rules.key_retention_less_margin else 0
    if setting.rules.attempt_records_promise and not row.promised:
        return False
    return row.first_sent is not None and 0 <= row.first_sent < RETENTION - margin


def send(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `claims.confirm_claim` and `activate.send`, in one period."""
    for worker, taken in enumerate(state.claims):
        if taken is None or taken.sent != CLAIMED or not taken.fresh:
            continue
        row = state.rows[taken.row]
        is_confirmed = row.state == ACTIVATING and row.token == worker + 1
        must_confirm = (
            not taken.idempotent and setting.rules.claim_confirmed_before_send
        )
        if must_confirm and not is_confirmed:
            story = f"Worker {worker + 1} finds that its claim has ended."
            yield Step(story, free(state, worker))
            continue
        request = Request(taken.row, taken.value, worker=worker + 1)
        sent = taken._replace(sent=SENT)
        after = state._replace(
            claims=replaced(state.claims, worker, sent),
            requests=tuple(sorted((*state.requests, request))),
        )
        yield Step(f"Worker {worker + 1} sends {name(taken.row)}.", after)


def arrive(state: State, setting: Setting) -> Iterator[Step]:
    """The platform carries out a request; it recognises a key that it knows."""
    for request in dict.fromkeys(state.requests):
        rest = list(state.requests)
        rest.remove(request)
        record = _carried_out(state.records[request.row], request, state, setting)
        after = state._replace(
            requests=tuple(rest), records=replaced(state.records, request.row, record)
        )
        if request.worker and (taken := state.claims[request.worker - 1]):
            told = taken._replace(sent=CREDITED)
            after = after._replace(
                claims=replaced(state.claims, request.worker - 1, told)
            )
        is_new = record != state.records[request.row]
        verb = "credits" if is_new else "recognises"
        yield Step(f"The platform {verb} {name(request.row)}.", after)


def _carried_out(
    record: Record, request: Request, state: State, setting: Setting
) -> Record:
    if record.key is not None:
        return record
    key = 0 if setting.is_idempotent(state) else None
    value = max(record.value, request.value)
    return Record(min(record.credits + 1, 2), value, key)


# --- Results --------------------------------------------------------------------------


@dataclass
class _Recorder:
    """Rows that record the changes which the outcome policy makes to them."""

    called: list[str] = field(default_factory=list)

    @property
    def rows(self) -> Any:
        return self

    at_fault = rows

    def filter(self, **_: Any) -> _Recorder:
        return self

    def update(self, **_: Any) -> None:
        """Count invalid responses, which the model does not."""

    def finish(self) -> None:
        self.called.append("finish")

    def hand_back(self) -> None:
        self.called.append("hand_back")

    def retry(self) -> None:
        self.called.append("retry")

    def put_in_doubt(self) -> None:
        self.called.append("put_in_doubt")

    def refuse(self) -> None:
        self.called.append("refuse")

    def hold_malformed(self, _: Any) -> None:
        self.called.append("hold_malformed")


@cache
def follows(outcome: str) -> tuple[str, ...]:
    """Return the names of the changes that the outcome policy makes, in order."""
    recorder = _Recorder()
    FOLLOWS[outcome](recorder)
    return tuple(recorder.called)


@dataclass(frozen=True)
class _Result:
    """The result of a call: its outcome, and whether the request can still arrive."""

    outcome: str
    text: str
    may_arrive: bool = False
    is_gateway_error: bool = False
    is_last: bool = False
    """The number of invalid responses has reached `MAX_MALFORMED`."""


# The results of a request that the platform has not carried out when the call ends.
_UNDONE = (
    _Result("UNANSWERED", "gets no response", may_arrive=True),
    _Result("MALFORMED", "gets an invalid response", may_arrive=True),
    _Result("MALFORMED", "gets the last invalid response", True, is_last=True),
    _Result("UNAVAILABLE", "gets a 503 from a gateway", True, is_gateway_error=True),
    _Result("UNAVAILABLE", "finds the platform not available"),
    _Result("REFUSED", "is refused"),
)
# The results of a request that the platform has carried out.
_DONE = (
    _Result("UNANSWERED", "gets no response"),
    _Result("MALFORMED", "gets an invalid response"),
    _Result("MALFORMED", "gets the last invalid response", is_last=True),
    _Result("UNAVAILABLE", "gets a 503 from a gateway", is_gateway_error=True),
)
_GIVEN = _Result("GIVEN", "gets the receipt")
_NOT_SENT = _Result("NOT_SENT", "hands the reward back unsent")


def conclude(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `outcomes.conclude`: a worker stores the result of its call."""
    for worker, taken in enumerate(state.claims):
        if taken is None:
            continue
        if taken.sent == CLAIMED:
            yield _result(state, worker, _NOT_SENT, setting)
        elif taken.sent == CREDITED:
            yield _result(state, worker, _GIVEN, setting)
        elif not _is_under_way(state, worker):
            yield _result(state, worker, _DONE[0], setting)
        if taken.sent != CLAIMED and state.faults:
            yield from _failed(state, worker, taken, setting)


def _failed(
    state: State, worker: int, taken: Claim, setting: Setting
) -> Iterator[Step]:
    """Yield the results that a fault of the platform or of the network causes."""
    left = state._replace(faults=state.faults - 1)
    for result in _DONE if taken.sent == CREDITED else _UNDONE:
        if not result.is_gateway_error or _knows_gateway_errors(taken, setting):
            yield _result(left, worker, result, setting)._replace(disturbs=True)


def _knows_gateway_errors(taken: Claim, setting: Setting) -> bool:
    """`status_policy`: a 503 of a platform that is neither counts as unanswered."""
    return taken.idempotent or setting.askable


def _is_under_way(state: State, worker: int) -> bool:
    return any(request.worker == worker + 1 for request in state.requests)


def _result(state: State, worker: int, result: _Result, setting: Setting) -> Step:
    taken = state.claims[worker]
    assert taken is not None
    state = free(state, worker, keep=result.may_arrive)
    row = state.rows[taken.row]
    if row.state == ACTIVATING and _is_token(row, worker, setting):
        is_given = result.outcome == "GIVEN" or row.evidence
        known = _GIVEN if is_given else result
        after = _apply(state, taken.row, known, setting)
    elif result.outcome == "GIVEN":
        after = _apply_late(state, taken.row, setting)
    else:
        after = state
    return Step(f"Worker {worker + 1} {result.text} for {name(taken.row)}.", after)


def _is_token(row: Row, worker: int, setting: Setting) -> bool:
    return row.token == worker + 1 or not setting.rules.token_compared


def free(state: State, worker: int, *, keep: bool = True) -> State:
    """Free the worker; no worker waits for its request any more."""
    requests = (
        each._replace(worker=0) if each.worker == worker + 1 else each
        for each in state.requests
        if keep or each.worker != worker + 1
    )
    claims = replaced(state.claims, worker, None)
    return state._replace(claims=claims, requests=tuple(sorted(requests)))


def _apply(state: State, index: int, result: _Result, setting: Setting) -> State:
    """Apply the changes of the outcome policy, as `ClaimedAssignments` does."""
    for change in follows(result.outcome):
        state = _CHANGES[change](state, index, result, setting)
    return state


def _finish(state: State, index: int, _: _Result, setting: Setting) -> State:
    return mark_active(state, index)


def _hand_back(state: State, index: int, _: _Result, setting: Setting) -> State:
    return _owe_again(state, index, state.rows[index], setting)


def _retry(state: State, index: int, result: _Result, setting: Setting) -> State:
    row = state.rows[index]
    is_doubt = result.is_gateway_error and setting.rules.gateway_error_is_doubt
    row = row._replace(doubtful=row.doubtful or is_doubt)
    return _owe_again(state, index, row, setting)


def _owe_again(state: State, index: int, row: Row, setting: Setting) -> State:
    lease = _released(row, setting)
    owed = mark_owed(row, state.stop, setting.rules, token=0, lease=lease)
    return with_row(state, index, _as_unsent(owed))


def _as_unsent(row: Row) -> Row:
    """Stand for the end of `_owe_again`: the order of a certain row is built again."""
    if row.doubtful or row.state not in (OWED, VOID):
        return row
    return row._replace(first_sent=None, order=None, promised=True)


def _put_in_doubt(state: State, index: int, _: _Result, setting: Setting) -> State:
    row = state.rows[index]
    if row.state != ACTIVATING:
        return state  # another change of the outcome policy came first
    return with_row(state, index, lose(row, setting))


def _refuse(state: State, index: int, _: _Result, setting: Setting) -> State:
    row = state.rows[index]
    return with_row(state, index, _hold(row, Reason.REFUSED, setting))


def _hold_malformed(
    state: State, index: int, result: _Result, setting: Setting
) -> State:
    if not result.is_last:
        return state
    row = state.rows[index]._replace(doubtful=True)
    return with_row(state, index, _hold(row, Reason.MALFORMED, setting))


def _hold(row: Row, reason: Reason, setting: Setting) -> Row:
    return held(row, reason)._replace(lease=_released(row, setting))


def _released(row: Row, setting: Setting) -> int | None:
    """Return the age of the lease after the end of the claim, or None."""
    is_kept = row.doubtful and setting.rules.lease_kept_while_doubtful
    return _grace_from_now(row, setting) if is_kept else None


_CHANGES: Mapping[str, Callable[[State, int, _Result, Setting], State]] = {
    "finish": _finish,
    "hand_back": _hand_back,
    "retry": _retry,
    "put_in_doubt": _put_in_doubt,
    "refuse": _refuse,
    "hold_malformed": _hold_malformed,
}


def _apply_late(state: State, index: int, setting: Setting) -> State:
    """Stand for `outcomes.apply_receipts`: the receipt came after the end of the claim."""
    if not setting.rules.late_receipt_counts:
        return state
    if not setting.rules.late_answer_matched_by_key and state.gap is not None:
        # In the restored database, the next row has the primary key of this one.
        index = (index + 1) % len(state.rows)
    row = state.rows[index]
    if row.state in ("UNLISTED", ACTIVE):
        return state
    state = with_row(state, index, row._replace(evidence=True))
    return state if row.state == ACTIVATING else mark_active(state, index)


# --- The end of a lease ---------------------------------------------------------------


def expire(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `deadlines.expire`: the outcome is unknown when a lease has ended."""
    for index, row in enumerate(state.rows):
        if row.state != ACTIVATING or row.lease is None or row.lease < 0:
            continue
        yield Step(
            f"The scheduler notices that the lease of {name(index)} has ended.",
            with_row(state, index, _lost(row, setting)),
        )


def _lost(row: Row, setting: Setting) -> Row:
    if not setting.rules.expired_is_uncertain:
        return row._replace(state=OWED, token=0, lease=None)
    return lose(row, setting)


def lose(row: Row, setting: Setting) -> Row:
    """Stand for `deadlines.lose` and `outcomes.put_in_doubt`: the outcome is unknown."""
    lease = _grace_from_now(row, setting)
    return row._replace(state=UNCERTAIN, doubtful=True, token=0, lease=lease)


def _grace_from_now(row: Row, setting: Setting) -> int | None:
    if row.lease is None or not setting.rules.doubt_starts_grace:
        return row.lease
    return grace_from_now(row.lease)
