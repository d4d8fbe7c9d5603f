"""
The state of the model: the portal's rows, Optimove's list and the platform's records.

Time passes in periods. A claim lasts one period. A request arrives in the period in
which it is sent, in the next one, or never. So a request cannot arrive any more when a
whole period has passed since the end of its lease: this is the grace period. The
platform knows a key for `RETENTION` periods. Times are stored as ages in periods. Ages
by the database's clock can be negative after this clock was set back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from promoportal.optimove import Meaning
from rewards.models import AssignmentReason, AssignmentState
from tests.model.rules import ALL, Rules

_T = TypeVar("_T")
Reason = AssignmentReason
OWED, ACTIVATING, UNCERTAIN, ACTIVE, HELD, VOID = map(str, AssignmentState.values)
UNLISTED = "UNLISTED"
ACTIVATE, UNKNOWN, CANCELLED = (
    str(each) for each in (Meaning.ACTIVATE, Meaning.UNKNOWN, Meaning.CANCELLED)
)
RUNNING, OVER, PAUSED, STOPPED = "RUNNING", "OVER", "PAUSED", "STOPPED"
RETENTION = 3
# The clock of the database is set by more than a lease and more than the retention.
CLOCK_STEP = RETENTION + 1
GRACE = 1


class Listing(NamedTuple):
    """A row of Optimove's list: its meaning, the value of the reward, its owner."""

    meaning: str = ACTIVATE
    value: int = 1
    is_other_owner: bool = False


class Row(NamedTuple):
    """An assignment in the portal's database, with the columns that decide."""

    state: str = UNLISTED
    reason: str = ""
    listed: Listing = Listing()
    value: int = 1
    difference: str = ""
    doubtful: bool = False
    order: int | None = None
    first_sent: int | None = None
    """Periods since `first_sent_at`."""
    lease: int | None = None
    """Periods since `lease_until`: -1 during the lease, 1 after the grace period."""
    token: int = 0
    """The number of the worker whose claim holds the row, or 0."""
    evidence: bool = False
    promised: bool = True
    """Each attempt went to a platform that promised to remember its key."""
    cleared: bool = True
    approved: int = 1
    """The highest value that staff approved, knowing it. No column of the portal."""


class Record(NamedTuple):
    """The platform's records of one reward: its credits, their value, its key."""

    credits: int = 0
    value: int = 0
    key: int | None = None
    """Periods since the platform stored the key, or None if it does not know it."""


class Request(NamedTuple):
    """A request on its way to the platform."""

    row: int
    value: int
    age: int = 0
    worker: int = 0
    """The worker that waits for the response, or 0."""


class Claim(NamedTuple):
    """A worker's claim, as the worker knows it."""

    row: int
    value: int
    """The value of the order that the worker read."""
    sent: str = "CLAIMED"
    """`CLAIMED`, `SENT`, or `CREDITED` if the response of the platform is near."""
    fresh: bool = True
    """The lease has not ended by the worker's own clock."""
    idempotent: bool = True
    """The capability with which the worker was started."""


class Question(NamedTuple):
    """A look-up with the platform's response, which is not stored yet."""

    row: int
    given: bool
    after_grace: bool
    """The grace period had ended when the look-up began."""
    outdated: bool = False
    """The attempts of the row were counted up since then."""


class View(NamedTuple):
    """A page that a member of staff has open, and what its reader knows."""

    row: int
    """The number of the row, or -1 for the execution."""
    figure: int
    """The value of the reward, or the total of the execution, as it was shown."""
    credited: bool
    """The platform's records showed a credit when the page was opened."""
    after_last_byte: bool
    """The grace period had ended when the page was opened."""
    outdated: bool = False
    """What the page shows has changed since."""


class Gap(NamedTuple):
    """A time that a restored backup does not contain: ages of its start and end."""

    since: int
    lease: int


class State(NamedTuple):
    rows: tuple[Row, ...]
    listings: tuple[Listing, ...]
    records: tuple[Record, ...]
    requests: tuple[Request, ...] = ()
    claims: tuple[Claim | None, ...] = (None, None)
    question: Question | None = None
    view: View | None = None
    stop: str = RUNNING
    tally: int = 0
    waived: int = 0
    approved: int = 0
    """The highest total that staff approved, knowing it. No column of the portal."""
    gap: Gap | None = None
    upgraded: bool = False
    """The platform and its setting became idempotent after the portal started."""
    faults: int = 0
    changes: int = 0
    decisions: int = 0
    """How many of each may still happen in this run."""


class Step(NamedTuple):
    """One step of a run: a sentence, the state after it, and whether it is costly."""

    story: str
    state: State
    disturbs: bool = False
    """A fault, a change or a decision, on which no progress may depend."""


@dataclass(frozen=True)
class Bounds:
    """The size of the model: rewards, and the disturbances of one run."""

    rows: int = 1
    faults: int = 2
    changes: int = 1
    decisions: int = 1
    workers: int = 2


@dataclass(frozen=True)
class Setting:
    """The platform's capability, the limits, and the rules of the engine."""

    idempotent: bool
    askable: bool
    bounds: Bounds = Bounds()
    rules: Rules = field(default=ALL)
    reward_limit: int = 1
    total_limit: int = 2

    def is_idempotent(self, state: State) -> bool:
        return self.idempotent or state.upgraded


CAPABILITIES: Mapping[str, tuple[bool, bool]] = {
    "idempotent,askable": (True, True),
    "idempotent": (True, False),
    "askable": (False, True),
    "neither": (False, False),
}


def first_state(bounds: Bounds) -> State:
    """Return the state before Optimove's list was fetched for the first time."""
    return State(
        rows=(Row(),) * bounds.rows,
        listings=(Listing(),) * bounds.rows,
        records=(Record(),) * bounds.rows,
        claims=(None,) * bounds.workers,
        faults=bounds.faults,
        changes=bounds.changes,
        decisions=bounds.decisions,
    )


def name(row: int) -> str:
    return f"reward {'AB'[row]}"


def with_row(state: State, index: int, row: Row) -> State:
    """Replace a row; a page or a look-up of its earlier version becomes outdated."""
    old = state.rows[index]
    if old == row:
        return state
    rows = (*state.rows[:index], row, *state.rows[index + 1 :])
    view, question = state.view, state.question
    if view and view.row == index and _version(old) != _version(row):
        view = view._replace(outdated=True)
    if question and question.row == index and old.lease != row.lease:
        question = question._replace(after_grace=False)
    return state._replace(rows=rows, view=view, question=question)


def _version(row: Row) -> tuple[object, ...]:
    return row._replace(first_sent=None, lease=None, approved=0)


def replaced(values: tuple[_T, ...], index: int, value: _T) -> tuple[_T, ...]:
    return (*values[:index], value, *values[index + 1 :])


NEEDS_REREAD = (str(Reason.UNREADABLE), str(Reason.UNKNOWN_STATUS))
