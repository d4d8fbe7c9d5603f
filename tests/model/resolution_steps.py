"""Resolution of rewards whose outcome is unknown, as in `rewards.activation.in_doubt`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.activation_steps import is_sendable, is_within_retention
from tests.model.row_moves import held, mark_active, mark_owed, mark_uncertain
from tests.model.state import (
    ACTIVATE,
    ACTIVATING,
    ACTIVE,
    GRACE,
    OWED,
    RETENTION,
    STOPPED,
    UNCERTAIN,
    UNLISTED,
    Question,
    Reason,
    Row,
    Setting,
    State,
    Step,
    name,
    with_row,
)


def settle(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `in_doubt.settle`, except for the look-ups."""
    is_idempotent = setting.is_idempotent(state)
    for index, row in enumerate(state.rows):
        if setting.rules.stranded_rows_are_resolved and row.state == OWED:
            after = _stranded(row, is_idempotent, setting)
        elif row.state == UNCERTAIN:
            after = _resolved(row, state, is_idempotent, setting)
        else:
            continue
        if after != row:
            story = f"The portal resolves {name(index)}: {after.state}."
            yield Step(story, with_row(state, index, after))


def _stranded(row: Row, is_idempotent: bool, setting: Setting) -> Row:
    """Stand for `in_doubt._stop_stranded`: no worker may send this row."""
    if not row.doubtful or is_sendable(row, is_idempotent, setting):
        return row
    if is_idempotent and not is_within_retention(row, setting):
        return held(row, Reason.UNANSWERED)
    return mark_uncertain(row)


def _resolved(row: Row, state: State, is_idempotent: bool, setting: Setting) -> Row:
    """Send the row again, or leave the decision to staff, or keep it for a look-up."""
    is_known = is_idempotent and is_within_retention(row, setting)
    is_cancelled = row.listed.meaning != ACTIVATE or state.stop == STOPPED
    if is_known and not is_cancelled:
        return mark_owed(row, state.stop, setting.rules)
    if is_idempotent and not is_known:
        return held(row, Reason.UNANSWERED)
    return row if setting.askable else held(row, Reason.UNANSWERED)


def look_up(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `in_doubt._look_up`: the platform says whether it knows the key."""
    if not setting.askable or state.question:
        return
    for index, row in enumerate(state.rows):
        if row.state != UNCERTAIN:
            continue
        given = state.records[index].credits > 0
        after_grace = row.lease is not None and row.lease >= GRACE
        question = Question(index, given, after_grace)
        answer = "given" if given else "not found"
        yield Step(
            f"The platform says about {name(index)}: {answer}.",
            state._replace(question=question),
        )


def store_answer(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `in_doubt._conclude`: the response of a look-up is stored."""
    question = state.question
    if question is None:
        return
    after = state._replace(question=None)
    if question.given:
        after = _given(after, question, setting)
    elif _counts(state.rows[question.row], question, setting):
        after = _not_found(after, question.row, setting)
    yield Step(f"The portal stores the response about {name(question.row)}.", after)


def _given(state: State, question: Question, setting: Setting) -> State:
    row = state.rows[question.row]
    if setting.rules.proof_moves_owed:
        if row.state in (UNLISTED, ACTIVE):
            return state
        if row.state == ACTIVATING:
            return with_row(state, question.row, row._replace(evidence=True))
        return mark_active(state, question.row)
    is_same = row.state == UNCERTAIN and not question.outdated
    return mark_active(state, question.row) if is_same else state


def _counts(row: Row, question: Question, setting: Setting) -> bool:
    """Return whether "not found" is final."""
    rules = setting.rules
    if row.state != UNCERTAIN:
        return False
    if question.outdated and rules.look_up_compares_attempts:
        return False
    if not rules.not_found_after_grace:
        return True
    is_over = row.lease is not None and row.lease >= GRACE
    return is_over and (question.after_grace or not rules.grace_ends_before_question)


def _not_found(state: State, index: int, setting: Setting) -> State:
    row = mark_owed(
        state.rows[index],
        state.stop,
        setting.rules,
        settled=True,
        doubtful=False,
        first_sent=None,
        promised=True,
        token=0,
        lease=None,
    )
    return with_row(state, index, row)


def hold_unsettled(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `deadlines.hold_unsettled`: the outcome is unknown for too long."""
    is_early = state.gap and state.gap.lease < GRACE
    if is_early or not setting.rules.unsettled_rows_are_held:
        return
    for index, row in enumerate(state.rows):
        is_old = row.first_sent is not None and row.first_sent >= RETENTION
        if row.state in (OWED, UNCERTAIN) and row.doubtful and is_old:
            story = f"The outcome of {name(index)} stays unknown for too long."
            after = with_row(state, index, held(row, Reason.UNANSWERED))
            yield Step(story, after)


def hold_too_late(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `deadlines.hold_too_late`: a pending reward waited for too long."""
    if not state.faults:
        return
    left = state._replace(faults=state.faults - 1)
    for index, row in enumerate(state.rows):
        if row.state == OWED:
            story = f"The deadline of {name(index)} passes."
            after = with_row(left, index, held(row, Reason.TOO_LATE))
            yield Step(story, after, disturbs=True)
