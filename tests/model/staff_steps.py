"""
Decisions of staff, as in `rewards.decisions` and `executions.lifecycle`.

Staff open a page, and look into the platform's records at that time. They are honest:
they say "given" only if the records showed a credit, and "not given" only if not. They
may decide about an old page: other decisions may have been made since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rewards.obstacles import NEEDS_CONFIRMATION
from tests.model.row_moves import (
    check_totals,
    clear,
    held,
    known_difference,
    mark_active,
    mark_owed,
)
from tests.model.state import (
    ACTIVATE,
    CANCELLED,
    GRACE,
    HELD,
    NEEDS_REREAD,
    PAUSED,
    RUNNING,
    STOPPED,
    UNCERTAIN,
    UNKNOWN,
    VOID,
    Reason,
    Row,
    Setting,
    State,
    Step,
    View,
    name,
    with_row,
)

_CONFIRM = tuple(map(str, NEEDS_CONFIRMATION))


def open_page(state: State, setting: Setting) -> Iterator[Step]:
    """A member of staff opens a page on which a decision is offered."""
    if state.view or not state.decisions:
        return
    left = state._replace(decisions=state.decisions - 1)
    for view in _views(state):
        what = name(view.row) if view.row >= 0 else "the execution"
        story = f"Anna opens {what}{_shown(view)}."
        yield Step(story, left._replace(view=view), disturbs=True)


def _shown(view: View) -> str:
    if view.row < 0:
        return f", with {view.figure} EUR"
    return f", and the platform's records show {'a' if view.credited else 'no'} credit"


def decide_later(state: State, setting: Setting) -> Iterator[Step]:
    """Anna decides about the page that she opened before."""
    if state.view is None:
        return
    rest = state._replace(view=None)
    for step in _decided(rest, state.view, setting, "Anna"):
        yield step._replace(disturbs=True)


def decide_now(state: State, setting: Setting) -> Iterator[Step]:
    """Ben opens a page and decides at once."""
    if not state.decisions:
        return
    left = state._replace(decisions=state.decisions - 1)
    for view in _views(state):
        for step in _decided(left, view, setting, "Ben"):
            yield step._replace(disturbs=True)


def _views(state: State) -> Iterator[View]:
    for index, row in enumerate(state.rows):
        if row.state == HELD or _is_sayable(row):
            credited = state.records[index].credits > 0
            is_safe = row.lease is None or row.lease >= GRACE
            yield View(index, row.listed.value, credited, is_safe)
    if state.stop in ("OVER", PAUSED):
        yield View(-1, state.tally, credited=False, after_last_byte=True)


def _decided(state: State, view: View, setting: Setting, who: str) -> Iterator[Step]:
    """Yield the decisions that the page offers, if they change anything."""
    if view.row < 0:
        yield from _resume(state, view, setting, who)
        return
    if view.outdated and setting.rules.decision_checks_version:
        return
    for text, decide in _DECISIONS:
        after = decide(state, view, setting)
        if after != state:
            yield Step(f"{who} {text.format(name(view.row))}.", after)


def _resume(state: State, view: View, setting: Setting, who: str) -> Iterator[Step]:
    """Stand for `lifecycle.resume` and `limits.waive`."""
    if state.stop not in ("OVER", PAUSED):
        return
    if state.tally != view.figure and setting.rules.resume_checks_figures:
        return
    resumed = clear(state)._replace(stop=RUNNING, waived=max(state.waived, state.tally))
    approved = max(state.approved, view.figure)
    yield Step(f"{who} resumes the execution.", resumed._replace(approved=approved))


def pause(state: State, setting: Setting) -> Iterator[Step]:
    """Stand for `lifecycle.pause`."""
    if state.decisions and state.stop == RUNNING:
        left = state._replace(decisions=state.decisions - 1, stop=PAUSED)
        yield Step("Ben pauses the execution.", left, disturbs=True)


# --- Decisions about one row ----------------------------------------------------------


def _is_undecided(row: Row) -> bool:
    """Stand for `obstacles.to_writing_off`."""
    return row.state == HELD and not row.doubtful


def _is_retriable(row: Row, state: State, setting: Setting) -> bool:
    """Stand for `obstacles.to_retry`."""
    if not _is_undecided(row) or state.stop == STOPPED or row.reason in _CONFIRM:
        return False
    if row.reason in NEEDS_REREAD:
        return True
    return _is_eligible(row, setting) and not known_difference(row, setting.rules)


def _is_eligible(row: Row, setting: Setting) -> bool:
    """Stand for `obstacles._not_eligible` and `owner_conflict`."""
    is_conflict = known_difference(row, setting.rules) == "OWNER"
    is_theirs = not (is_conflict and row.listed.is_other_owner)
    return row.listed.meaning == ACTIVATE and is_theirs


def _retry(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions.retry`."""
    row = state.rows[view.row]
    if not _is_retriable(row, state, setting):
        return state
    if row.reason in NEEDS_REREAD:
        return _take_over(state, view, (), setting)
    return _owe_within_limit(state, view, setting)


def _release(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions.release`; only "over the limit" approves a value past it."""
    row = state.rows[view.row]
    is_offered = row.reason in _CONFIRM or known_difference(row, setting.rules)
    if not _is_undecided(row) or state.stop == STOPPED or not is_offered:
        return state
    if not _is_eligible(row, setting):
        return state
    if row.reason == Reason.OVER_LIMIT:
        row = row._replace(approved=max(row.approved, view.figure))
    state = with_row(state, view.row, row)
    if known_difference(row, setting.rules):
        confirmed = (str(Reason.REPEATED), str(Reason.DIFFERS), row.reason)
        return _take_over(state, view, confirmed, setting)
    return _owe_within_limit(state, view, setting)


def _owe_within_limit(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions._ask_for_approval`, and then `_owe_one`."""
    row = state.rows[view.row]
    if row.reason != Reason.OVER_LIMIT and _is_over(row.value, setting):
        over = row._replace(reason=str(Reason.OVER_LIMIT))
        return with_row(state, view.row, over)
    return _owe(state, view.row, setting)


def _is_over(value: int, setting: Setting) -> bool:
    return value > setting.reward_limit and setting.rules.limits_asked_on_retry


def _take_over(
    state: State, view: View, confirmed: tuple[str, ...], setting: Setting
) -> State:
    """Stand for `decisions._as_listed`, `listed_again.take_over`: accept the list."""
    row = state.rows[view.row]
    if row.listed.meaning == UNKNOWN or row.listed.is_other_owner:
        return state
    was_counted = row.value if row.listed.meaning == ACTIVATE else 0
    value = row.listed.value
    row = row._replace(value=value, order=None)
    if setting.rules.totals_asked_on_retry:
        counted = value if row.listed.meaning == ACTIVATE else 0
        state = state._replace(tally=state.tally + counted - was_counted)
        checked = check_totals(with_row(state, view.row, row), setting.total_limit)
        row = row._replace(cleared=row.cleared and checked.stop != "OVER")
        state = state._replace(stop=checked.stop)
    if _is_over(value, setting) and str(Reason.OVER_LIMIT) not in confirmed:
        return with_row(state, view.row, held(row, Reason.OVER_LIMIT))
    return _owe(with_row(state, view.row, row), view.row, setting)


def _owe(state: State, index: int, setting: Setting, **changes: object) -> State:
    """Stand for `decisions._owe`."""
    compared = changes or {"difference": "", "first_sent": None, "promised": True}
    row = mark_owed(
        state.rows[index],
        state.stop,
        setting.rules,
        settled=True,
        reason="",
        **compared,
    )
    return with_row(state, index, row)


def _is_sayable(row: Row) -> bool:
    """Stand for `obstacles.to_saying`."""
    return row.doubtful and row.state in (UNCERTAIN, HELD)


def _say_given(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions.given`."""
    row = state.rows[view.row]
    return mark_active(state, view.row) if _is_sayable(row) and view.credited else state


def _say_not_given(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions.not_given`."""
    row = state.rows[view.row]
    is_offered = view.after_last_byte or not setting.rules.decision_after_last_byte
    if view.credited or not _is_sayable(row) or not is_offered:
        return state
    settled: dict[str, Any] = {
        "doubtful": False,
        "first_sent": None,
        "lease": None,
        "promised": True,
    }
    is_ended = state.stop == STOPPED or row.listed.meaning == CANCELLED
    reason = "" if is_ended else _next_reason(row, setting)
    if row.state == VOID:
        return with_row(state, view.row, row._replace(**settled))
    if row.state == HELD and reason:
        kept = row._replace(**settled)._replace(reason=reason)
        return with_row(state, view.row, kept)
    return _owe(state, view.row, setting, **settled)


def _next_reason(row: Row, setting: Setting) -> str:
    """Stand for `decisions._next_reason`."""
    if row.reason in (*_CONFIRM, *NEEDS_REREAD):
        return row.reason
    if row.listed.meaning == UNKNOWN:
        return str(Reason.UNKNOWN_STATUS)
    return str(Reason.DIFFERS) if known_difference(row, setting.rules) else ""


def _write_off(state: State, view: View, setting: Setting) -> State:
    """Stand for `decisions.write_off`."""
    row = state.rows[view.row]
    if not _is_undecided(row):
        return state
    off = row._replace(state=VOID, reason=str(Reason.WRITTEN_OFF))
    return with_row(state, view.row, off)


_DECISIONS: tuple[tuple[str, Callable[[State, View, Setting], State]], ...] = (
    ("retries {}", _retry),
    ("approves {}", _release),
    ("marks {} as activated", _say_given),
    ("marks {} as not activated", _say_not_given),
    ("writes {} off", _write_off),
)
