"""The events that are possible while no actor runs: jobs, staff, changes, time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.contrib.auth.models import User

from bench.explorer.integrations import LATEST, World
from bench.explorer.saved_state import Row, SavedState
from executions import lifecycle
from executions.models import Execution
from promoportal.db import row_versions
from promoportal.db.state_machine import IllegalMove, LostRace
from promoportal.platforms import Capability
from redemptions import in_doubt as reports_settling
from redemptions import reporting
from rewards import bulk_retry, cancellation, decisions, tasks
from rewards.activation import activate, deadlines, in_doubt
from rewards.activation.request_lifetime import LEASE
from rewards.collection import collect
from rewards.models import Assignment, Retrial

OCCURRENCE = "7311"
_ACTIVATE_WITHIN = timedelta(hours=72)
_SETTLE_WITHIN = timedelta(hours=24)


def listed(number: int) -> Row:
    """Return a row of Optimove's list: assignment `number`, of customer `number`."""
    return {
        "assignmentId": f"A{number}",
        "customerId": f"C{number}",
        "promotionId": "P1",
        "promotionCode": "CODE",
        "status": "Assigned",
        "assignedAt": "2026-03-02T08:00:00Z",
        "reward": {
            "category": "Amount",
            "type": "Bonus",
            "value": "10.00",
            "currency": "EUR",
        },
    }


# --- Jobs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """
    A job of the workers or a sweep of the scheduler.

    A coarse job has points only at crash points and integrations.
    """

    name: str
    work: Callable[[], object]
    is_due: Callable[[SavedState], bool]
    is_coarse: bool = False


def _hold_overdue() -> None:
    deadlines.hold_too_late()
    deadlines.hold_unsettled()


def _settle_reports() -> None:
    reports_settling.expire()
    reports_settling.settle()


def _asks(
    table: str, states: str, is_due: Callable[[], bool]
) -> Callable[[SavedState], bool]:
    """Ask the portal whether a job is due, if a row has one of the states."""

    def is_due_in(state: SavedState) -> bool:
        found = {row["state"] for row in state.tables[table]}
        return bool(found & {*states.split()}) and is_due()

    return is_due_in


def _is_cancelled(state: SavedState) -> bool:
    stops = {row["stop"] for row in state.tables["executions_execution"]}
    return "CANCELLED" in stops and cancellation.is_due()


def _is_to_clear(state: SavedState) -> bool:
    return any(
        row["cleared_to"] is not None for row in state.tables["rewards_collection"]
    )


def _is_expired(state: SavedState) -> bool:
    return any(
        row["state"] == "ACTIVATING" and _time(row, "lease_until") <= state.at
        for row in state.tables["rewards_assignment"]
    )


def _is_overdue(state: SavedState) -> bool:
    return any(
        time <= state.at for row in _assignments(state) for time in _deadlines(row)
    )


def _has_reports_in_doubt(state: SavedState) -> bool:
    return any(
        (row["state"] == "REPORTING" and _time(row, "lease_until") <= state.at)
        or (row["state"] == "UNCERTAIN" and _time(row, "not_before") <= state.at)
        for row in state.tables["redemptions_redemption"]
    )


# In the order in which they start, if the explorer chooses nothing else.
JOBS = (
    Job("expire", deadlines.expire, _is_expired),
    Job("overdue", _hold_overdue, _is_overdue),
    Job(
        "collect",
        tasks.collect,
        _asks("rewards_collection", "WAITING COLLECTING", collect.is_due),
        is_coarse=True,
    ),
    Job("clear", tasks.follow_clearances, _is_to_clear),
    Job("cancel", tasks.follow_cancellations, _is_cancelled),
    Job(
        "retry",
        tasks.retry_many,
        _asks("rewards_retrial", "RUNNING", bulk_retry.is_due),
    ),
    Job(
        "settle",
        tasks.settle,
        _asks("rewards_assignment", "UNCERTAIN OWED", in_doubt.is_due),
    ),
    Job(
        "activate",
        tasks.activate,
        _asks("rewards_assignment", "OWED", activate.is_due),
    ),
)
# The jobs of redemptions: without them, redemptions wait.
REPORTS = (
    Job("reports", _settle_reports, _has_reports_in_doubt),
    Job(
        "report",
        reporting.report,
        _asks("redemptions_redemption", "WAITING", reporting.is_due),
        is_coarse=True,
    ),
)


# --- Time -----------------------------------------------------------------------------


def next_time(
    state: SavedState, world: World, capability: Capability, *, reports: bool
) -> datetime | None:
    """Return the next time at which something becomes due, or None."""
    times = [*_times(state, capability), *(_report_times(state) if reports else ())]
    times = [time for time in times if time > state.at]
    times += [delayed.until for delayed in world.delayed]
    return min(times, default=None)


def _times(state: SavedState, capability: Capability) -> Iterator[datetime]:
    for row in _assignments(state):
        yield from _deadlines(row)
        yield from _assignment_times(row, capability)
    for row in state.tables["rewards_collection"]:
        if row["state"] in {"WAITING", "COLLECTING"}:
            yield _time(row, "not_before")
            yield from _leased(row)
    for row in state.tables["promoportal_breaker"]:
        if row["open_until"]:
            yield _time(row, "open_until")


def _assignment_times(row: Row, capability: Capability) -> Iterator[datetime]:
    if row["state"] == "ACTIVATING":
        yield _time(row, "lease_until")
    if row["state"] in {"OWED", "UNCERTAIN"}:
        yield _time(row, "not_before")
        if row["doubtful"] and row["first_sent_at"] and capability.idempotent:
            known = capability.remembers_for - timedelta(seconds=LEASE)
            yield _time(row, "first_sent_at") + known


def _report_times(state: SavedState) -> Iterator[datetime]:
    for row in state.tables["redemptions_redemption"]:
        if row["state"] in {"WAITING", "UNCERTAIN"}:
            yield _time(row, "not_before")
        if row["state"] == "REPORTING":
            yield from _leased(row)


def _deadlines(row: Row) -> Iterator[datetime]:
    if row["state"] == "OWED":
        yield _time(row, "owed_since") + _ACTIVATE_WITHIN
    is_open = row["state"] in {"OWED", "UNCERTAIN"} and row["doubtful"]
    if is_open and row["first_sent_at"]:
        yield _time(row, "first_sent_at") + _SETTLE_WITHIN


def _leased(row: Row) -> Iterator[datetime]:
    if row["lease_until"]:
        yield _time(row, "lease_until")


def _time(row: Row, name: str) -> datetime:
    return datetime.fromisoformat(row[name])


def _assignments(state: SavedState) -> list[Row]:
    return state.tables["rewards_assignment"]


# --- Staff ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """An action of staff: its name, and the function that carries it out."""

    name: str
    act: Callable[[], object]


def actions(state: SavedState, choose: Callable[..., object]) -> Iterator[Action]:
    """
    Yield the actions of staff in this state, on each reward and on the execution.

    `choose` is called with the name of the action and the key of the reward.
    """
    for row in _assignments(state):
        for name in _names(row):
            act = partial(choose, name, row["id"])
            yield Action(f"{name} {row['reference']}", act)
    if any(row["state"] == "HELD" for row in _assignments(state)):
        yield Action("retry all", partial(choose, "retry all", None))
    stop = state.tables["executions_execution"][0]["stop"]
    for name in _STOPS[stop or "NONE"]:
        yield Action(name, partial(choose, name, None))


_STOPS: Mapping[str, tuple[str, ...]] = {
    "NONE": ("pause", "cancel"),
    "PAUSED": ("resume", "cancel"),
    "HELD": ("resume", "cancel"),
    "CANCELLED": (),
}


def _names(row: Row) -> Iterator[str]:
    if row["doubtful"] and row["state"] in {"UNCERTAIN", "HELD"}:
        yield "answer"  # "given" or "not given", by the platform's ledger
    elif row["state"] == "HELD":
        yield from ("retry", "release", "write off")


@dataclass
class Staff:
    """Staff who look at a page and at the ledger, and choose an action later."""

    world: Callable[[], World]
    approved: list[tuple[str, str]]
    looked: Callable[[], None]

    def choose(self, name: str, pk: int | None) -> None:
        """Look, and choose an action: it may be skipped."""
        by = User.objects.get()
        if pk is None:
            self._stop(name, by)
            return
        row = Assignment.objects.get(pk=pk)
        is_given = bool(self.world().credits_of(str(row.key)))
        seen = row_versions.versions([row])
        self.looked()
        if name == "answer":
            name = "given" if is_given else "not_given"
        decide = getattr(decisions, name.replace(" ", "_"))
        rows = Assignment.objects.filter(pk=pk)
        result = decide(rows, by=by, why="seen", seen=seen)
        if result.done and name == "release":
            seen = row.as_assigned["reward"]
            self.approved.append((row.reference, f"{seen['value']} {seen['currency']}"))

    def _stop(self, name: str, by: User) -> None:
        execution = Execution.objects.get()
        self.looked()
        try:
            if name == "retry all":
                held = Assignment.objects.filter(state="HELD")
                form = UUID(int=Retrial.objects.count() + 1)
                bulk_retry.begin(held, form=form, narrowed="", by=by, why="seen")
            else:
                getattr(lifecycle, name)(execution, by=by, why="seen")
        except (IllegalMove, LostRace):
            return
        if name == "resume":
            self.approved.append((OCCURRENCE, "any"))


# --- Optimove -------------------------------------------------------------------------


def _value(row: Row, value: str) -> None:
    row["reward"]["value"] = value


CHANGES: Mapping[str, Callable[[World], None]] = {
    "value": lambda world: _value(world.rows[0], "12.00"),
    "over": lambda world: _value(world.rows[0], "17.00"),
    "undo": lambda world: world.rows.__setitem__(0, listed(1)),
    "status": lambda world: world.rows[0].update(status="Cancelled"),
    "owner": lambda world: world.rows[0].update(customerId="C9"),
    "again": lambda world: world.rows.append(listed(1) | {"assignmentId": "A3"}),
}


def change_list(world: World, name: str) -> None:
    """Change Optimove's list, and announce the execution again."""
    CHANGES[name](world)
    lifecycle.open_execution(OCCURRENCE)


def is_change(world: World, name: str) -> bool:
    """Return whether this change would change the list."""
    after = world.copy()
    CHANGES[name](after)
    return after.rows != world.rows and len(after.rows) <= 3


# The database's clock is set forward by this much: past a lease and its grace period,
# or past the time for which the platform remembers keys.
STEPS = {"step": LATEST + timedelta(seconds=60), "day": timedelta(hours=25)}
