"""The next step of a run after a page or a failed call, without a database."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from promoportal import optimove, wire
from promoportal.optimove import Page
from rewards.collection.fetch_runs import (
    BACKOFF,
    EMPTY_WAITS,
    GIVE_UP_AFTER,
    MAX_MALFORMED,
    MAX_PAGES_WITHOUT_NEW_ROWS,
    MAX_RECHECKS,
    MAX_RESTARTS,
    RESTART_WAITS,
    WAIT_UNAUTHORIZED,
    next_step,
    step_after_error,
)
from rewards.models import AssignmentReason, Collection, CollectionState

CIRCLE = "Optimove's pages run in a circle."
NOBODY = "Optimove lists nobody for this execution."
PAUSE = 60.0
START = {"number": 8, "cursor": "", "pages": 0, "seen": 0, "barren": 0, "total": None}
DONE, WAITING, HELD = (
    CollectionState.DONE,
    CollectionState.WAITING,
    CollectionState.HELD,
)
PASS = "Pass 7 saw 10 rows on 3 pages."


class Case(NamedTuple):
    """A run, a page, and the expected next step."""

    run: dict[str, Any]
    cursor: str | None
    total: int | None
    fresh: int
    to: CollectionState | None
    changes: dict[str, Any]
    why: str = ""
    wait: float | None = None
    is_as_before: bool = False


CASES = {
    "another page follows": Case(
        {}, "next", None, 3, None, {"cursor": "next", "pages": 3, "seen": 10}
    ),
    "it brings nothing new": Case(
        {"barren": 4}, "next", None, 0, None, {"barren": 5, "seen": 7}
    ),
    "it brings something new": Case(
        {"barren": 4}, "next", None, 1, None, {"barren": 0}
    ),
    "its total counts": Case(
        {"total": 10}, "next", 12, 3, None, {"total": 12, "seen": 10}
    ),
    "the total before counts": Case(
        {"total": 12}, "next", None, 3, None, {"total": 12}
    ),
    "what failed before is over": Case(
        {"failures": 2, "malformed": 1, "problem": "503"},
        "next",
        None,
        3,
        None,
        {"failures": 0, "malformed": 0, "problem": ""},
    ),
    "the cursor repeats": Case(
        {"cursor": "same"},
        "same",
        None,
        3,
        HELD,
        {"reason": AssignmentReason.MALFORMED, "problem": CIRCLE, "seen": 10},
        CIRCLE,
    ),
    "nothing new for too long": Case(
        {"barren": MAX_PAGES_WITHOUT_NEW_ROWS - 1},
        "next",
        None,
        0,
        HELD,
        {"reason": AssignmentReason.MALFORMED, "problem": CIRCLE},
        CIRCLE,
    ),
    "the last page of a whole list": Case(
        {"restarts": 2, "empties": 1, "total": 10},
        None,
        None,
        3,
        WAITING,
        {"finished": 7, "restarts": 0, "empties": 0, "looks": 1, "seen_before": 10},
        PASS,
        PAUSE,
    ),
    "more rows than its total": Case(
        {"total": 9}, None, None, 3, WAITING, {"finished": 7}, PASS, PAUSE
    ),
    "as the list before": Case(
        {"looks": 1}, None, None, 3, DONE, {"looks": 2}, PASS, None, is_as_before=True
    ),
    "another list each time": Case(
        {"looks": MAX_RECHECKS - 1}, None, None, 3, DONE, {"looks": MAX_RECHECKS}, PASS
    ),
    "a run was requested meanwhile": Case(
        {"again": True, "looks": 3}, None, None, 3, WAITING, {"looks": 0}, PASS
    ),
    "requested, and as the list before": Case(
        {"again": True},
        *(None, None, 3, WAITING, {"looks": 0}, PASS, None),
        is_as_before=True,
    ),
    "one row on one page": Case(
        {"pages": 0, "seen": 0},
        *(None, None, 1, WAITING, {"seen": 1, "pages": 1}),
        "Pass 7 saw 1 row on 1 page.",
        PAUSE,
    ),
    "fewer rows than its total": Case(
        {"total": 12, "restarts": 1},
        *(None, None, 3, None),
        {
            **START,
            "restarts": 2,
            "problem": "Optimove lists 10 rows and says there are 12.",
        },
        wait=RESTART_WAITS[1],
    ),
    "fewer rows, and begun again too often": Case(
        {"total": 12, "restarts": MAX_RESTARTS},
        *(None, None, 3, HELD),
        {
            "reason": AssignmentReason.INCOMPLETE,
            "problem": "Optimove lists 10 rows and says there are 12.",
            "seen": 10,
        },
        "Optimove lists 10 rows and says there are 12.",
    ),
    "nobody is listed": Case(
        {"seen": 0, "empties": 1},
        *(None, None, 0, WAITING, {"empties": 2}, "Optimove lists nobody yet."),
        EMPTY_WAITS[1],
    ),
    "nobody is listed, of nobody": Case(
        {"seen": 0},
        *(None, 0, 0, WAITING, {"empties": 1}, "Optimove lists nobody yet."),
        EMPTY_WAITS[0],
    ),
    "nobody is listed, and some are said to be": Case(
        {"seen": 0},
        *(None, 4, 0, None, {**START, "restarts": 1}),
        wait=RESTART_WAITS[0],
    ),
    "nobody is listed for too long": Case(
        {"seen": 0, "empties": len(EMPTY_WAITS)},
        *(None, None, 0, HELD, {"reason": AssignmentReason.EMPTY}, NOBODY),
    ),
}


def a_run(**given: Any) -> Collection:
    kept = {"number": 7, "cursor": "here", "pages": 2, "seen": 7}
    return Collection(state=CollectionState.COLLECTING, **kept | given)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_page_leads_to_the_next_step(case: Case) -> None:
    page = Page("7311", None, (), case.cursor, case.total)

    step = next_step(
        a_run(**case.run),
        page,
        case.fresh,
        pause=PAUSE,
        is_as_before=case.is_as_before,
    )

    assert (step.to, step.why) == (case.to, case.why)
    assert dict(step.changes) == {**step.changes, **case.changes}
    is_held_short = step.changes.get("reason") == AssignmentReason.INCOMPLETE
    assert step.ends == (is_held_short or "finished" in step.changes)
    assert (step.wait is None) == (case.wait is None)
    if case.wait is not None:
        assert step.wait == pytest.approx(case.wait, rel=0.21)


def test_without_a_pause_a_complete_list_is_not_rechecked() -> None:
    page = Page("7311", None, (), None, None)

    step = next_step(a_run(), page, 3, pause=0, is_as_before=False)

    assert (step.to, step.wait) == (DONE, None)


REFUSED = wire.Rejected("No.")
BROKEN = wire.Malformed("It is not JSON.")
KEY_REFUSED = wire.Misconfigured("No key.", wire.Evidence(status=401))
GONE = optimove.CursorRefused("Too old.")
AWAY = wire.Unavailable("503")


@pytest.mark.parametrize(
    ("error", "run", "to", "changes", "wait"),
    [
        (AWAY, {}, None, {"failures": 1, "problem": "503"}, BACKOFF[0]),
        (AWAY, {"failures": 3}, None, {"failures": 4, "malformed": 0}, BACKOFF[3]),
        (wire.Unavailable("429", retry_after=77), {}, None, {"failures": 1}, 77),
        (AWAY, {"failures": GIVE_UP_AFTER}, HELD, {"reason": "GIVEN_UP"}, None),
        (BROKEN, {}, None, {"failures": 1, "malformed": 1}, BACKOFF[0]),
        (BROKEN, {"malformed": MAX_MALFORMED - 1}, HELD, {"reason": "MALFORMED"}, None),
        (BROKEN, {"failures": GIVE_UP_AFTER}, HELD, {"reason": "GIVEN_UP"}, None),
        (REFUSED, {}, HELD, {"reason": "REFUSED", "problem": "No."}, None),
        (KEY_REFUSED, {}, None, {"problem": "No key."}, WAIT_UNAUTHORIZED),
        (KEY_REFUSED, {"failures": GIVE_UP_AFTER}, None, {}, WAIT_UNAUTHORIZED),
        (wire.Misconfigured("403"), {}, None, {"failures": 1}, BACKOFF[0]),
        (GONE, {}, None, {**START, "restarts": 1, "problem": "Too old."}, 5),
        (GONE, {"restarts": MAX_RESTARTS}, HELD, {"reason": "INCOMPLETE"}, None),
    ],
)
def test_a_failed_call_leads_to_the_next_step(
    error: wire.WireError,
    run: dict[str, Any],
    to: CollectionState | None,
    changes: dict[str, Any],
    wait: float | None,
) -> None:
    step = step_after_error(a_run(**run), error)

    assert (step.to, step.ends) == (to, changes.get("reason") == "INCOMPLETE")
    assert dict(step.changes) == {**step.changes, **changes}
    assert (step.wait is None) == (wait is None)
    if wait is not None:
        assert step.wait == pytest.approx(wait, rel=0.21)
