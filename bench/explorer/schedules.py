"""One schedule: the portal's jobs, staff, the integrations and the time, choice by choice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from bench.explorer import invariants, possible_moves, saved_state
from bench.explorer.integrations import LATEST, Integrations, Server, World
from bench.explorer.interleaving import Actor, Turns
from bench.explorer.own_database import changed_settings, database, fill_queues
from bench.explorer.possible_moves import JOBS, OCCURRENCE, REPORTS, Job, Staff
from bench.explorer.saved_state import SavedState
from bench.explorer.virtual_clock import START, VirtualClock
from executions.lifecycle import open_execution
from promoportal.operations import progress, restored_backup
from promoportal.platforms import Capability
from promoportal.resilience import concurrency_limit
from promoportal.runtime.crash_points import Point
from rewards import tasks
from rewards.collection import collect

CAPABILITIES = ("idempotent,askable", "idempotent", "askable", "neither")
# The errors of a job whose session was ended: another job does its work.
_LOST = (OperationalError, InterfaceError)
# A schedule that makes more choices than this goes round in circles.
MOST_CHOICES = 400
# Permits for activation that the explorer holds, so that each job gets exactly one.
_PERMITS = 4


@dataclass(frozen=True, order=True)
class Budget:
    """The number of preemptions and faults that a schedule may have, or still has."""

    preemptions: int = 0
    faults: int = 0

    def __sub__(self, other: Budget) -> Budget:
        return Budget(self.preemptions - other.preemptions, self.faults - other.faults)

    def allows(self, other: Budget) -> bool:
        """Return whether the other budget is at most this one."""
        return other.preemptions <= self.preemptions and other.faults <= self.faults


FREE, PREEMPTION, FAULT = Budget(), Budget(preemptions=1), Budget(faults=1)


@dataclass(frozen=True)
class Option:
    """One choice: its name, its cost, and what it does."""

    name: str
    cost: Budget = FREE
    act: Callable[[], None] = field(default=lambda: None, compare=False)


@dataclass
class Node:
    """A state in which no actor waits, from which schedules continue."""

    state: SavedState
    world: World
    seconds: float
    choices: tuple[tuple[int, int], ...] = ()
    number: int = 0  # of choices before
    approved: tuple[tuple[str, str], ...] = ()
    # Jobs that changed nothing in a state: they are not started again in it.
    barren: frozenset[tuple[str, str]] = frozenset()


# Chooses an option by the number of the choice and the options.
Chooser = Callable[[int, list[Option]], int]


class Ended(Exception):
    """The part of a schedule that was asked for is over."""


class Diverged(Exception):
    """The schedule cannot be repeated: it does not have the choice that was made."""


@dataclass
class Explorer:
    """The environment of all schedules of one platform's capability."""

    capability: str
    turns: Turns
    clock: VirtualClock
    sides: Integrations
    first: Node
    reports: bool = True  # redemptions are reported
    told: list[str] | None = None
    problems: list[str] = field(default_factory=list)
    suspended: list[Actor] = field(default_factory=list)
    is_frozen: bool = False  # time passed while a job sleeps
    number: int = 0
    taken: list[tuple[int, int]] = field(default_factory=list)
    chooser: Chooser = lambda _number, _options: 0
    approved: list[tuple[str, str]] = field(default_factory=list)
    barren: set[tuple[str, str]] = field(default_factory=set)
    _due: dict[str, list[str]] = field(default_factory=dict)
    _permits: set[int] = field(default_factory=set)

    # --- Parts of a schedule ----------------------------------------------------------

    def begin(self, node: Node) -> None:
        """Put a state back, and continue from it."""
        assert not self.suspended
        node.state.put_back()
        self.sides.world = node.world.copy()
        self.clock.set(node.state.at, node.seconds)
        self.number, self.taken = node.number, list(node.choices)
        self.approved[:] = node.approved
        self.barren = set(node.barren)
        self.problems = []

    def save(self) -> Node:
        """Return the present state, to continue from it later."""
        return Node(
            saved_state.save(self.clock.now),
            self.sides.world.copy(),
            self.clock.seconds,
            tuple(self.taken),
            self.number,
            tuple(self.approved),
            frozenset(self.barren),
        )

    def digest(self, state: SavedState) -> str:
        """Return a hash of the whole state: of the database and the integrations."""
        world, now = self.sides.world, self.clock.now
        credited = sorted(
            (c.key, c.customer, c.value, min((now - c.at).total_seconds(), 100_000))
            for c in world.credits
        )
        delayed = sorted(
            (d.key, (d.until - now).total_seconds()) for d in world.delayed
        )
        more = (world.rows, credited, delayed, sorted(set(self.approved)))
        return saved_state.digest(state, *more)

    def run(self, chooser: Chooser, *, once: bool = False) -> bool:
        """
        Run until nothing is left to do, or `once` until no actor waits any more.

        Return whether nothing is left to do.
        """
        self.chooser = chooser
        began = self.number
        while True:
            state = saved_state.save(self.clock.now)
            if once and self.number > began and not self.suspended:
                return False
            options = self._options(state)
            if not options or options[0].cost != FREE:
                self._check(state)
                return True
            self._choose(options).act()
            if self.problems:
                self.end_all()
                return True

    def _choose(self, options: list[Option], where: str = "") -> Option:
        self.number += 1
        if self.number > MOST_CHOICES:
            raise Ended(f"The schedule goes on after {MOST_CHOICES} choices.")
        chosen = self.chooser(self.number, options)
        if chosen >= len(options):
            raise Diverged(f"Choice {self.number} has no option {chosen}.")
        if chosen:
            self.taken.append((self.number, chosen))
        option = options[chosen]
        self._tell(where + option.name)
        return option

    def _tell(self, what: str) -> None:
        if self.told is not None:
            since = self.clock.now - START
            self.told.append(f"{self.number:>4}  {since!s:>16}  {what}")

    # --- While no actor runs ----------------------------------------------------------

    def _options(self, state: SavedState) -> list[Option]:
        h = self.digest(state)
        world = self.sides.world
        free = [
            Option(f"start {name}", FREE, partial(self._start, name, h))
            for name in self._due_jobs(state, h)
        ]
        free += [
            Option(f"resume {actor.name}", FREE, partial(self._wake, actor))
            for actor in self.suspended
        ]
        later = possible_moves.next_time(
            state, world, self.sides.capability, reports=self.reports
        )
        if later and not self._is_far():
            is_busy = len(free) > len(self.suspended)
            free.append(self._passing(later, is_idle=not free, is_busy=is_busy))
        if not free and self._has_doubts(state):
            free.append(Option("staff answer", FREE, self._answer_all))
        return [*free, *self._faults(state)]

    def _passing(self, until: datetime, *, is_idle: bool, is_busy: bool) -> Option:
        """Return the option to wait: a fault, unless nothing else can happen."""
        # Once a sleeping job counts as frozen, it is frozen for any time.
        is_free = is_idle or (self.is_frozen and not is_busy)
        cost = FREE if is_free else FAULT
        return Option("time passes", cost, partial(self._pass, until))

    def _faults(self, state: SavedState) -> Iterator[Option]:
        for action in possible_moves.actions(state, self._choose_action):
            work = partial(self._drive_new, action.name, action.act)
            yield Option(f"staff {action.name}", FAULT, work)
        for name in possible_moves.CHANGES:
            if possible_moves.is_change(self.sides.world, name):
                yield Option(f"list {name}", FAULT, partial(self._change, name))
        if not self._is_far():
            for name, duration in possible_moves.STEPS.items():
                yield Option(f"clock {name}", FAULT, partial(self._step, duration))
        if state.at > self.first.state.at:
            yield Option("restore", FAULT, self._restore)

    def _is_far(self) -> bool:
        return any(actor.is_far for actor in self.suspended)

    def _due_jobs(self, state: SavedState, h: str) -> list[str]:
        if h not in self._due:
            self._due[h] = [job.name for job in self._jobs() if job.is_due(state)]
        return [name for name in self._due[h] if (h, name) not in self.barren]

    def _jobs(self) -> tuple[Job, ...]:
        return (*JOBS, *REPORTS) if self.reports else JOBS

    def _start(self, name: str, h: str) -> None:
        [job] = [job for job in self._jobs() if job.name == name]
        self._share_permits(1 if name == "activate" else 0)
        others = len(self.suspended)
        self._drive_new(name, job.work, is_coarse=job.is_coarse)
        if len(self.suspended) == others:
            after = self.digest(saved_state.save(self.clock.now))
            if after == h:
                self.barren.add((h, name))

    def _share_permits(self, free: int) -> None:
        """Hold all free permits for activation, apart from this number of them."""
        with connection.cursor() as cursor:
            others = sorted(set(range(1, _PERMITS + 1)) - self._permits)
            cursor.execute(
                "SELECT number FROM unnest(%s::int[]) AS number"
                " WHERE pg_try_advisory_lock(%s, number)",
                [others, concurrency_limit.CALLS],
            )
            self._permits |= {number for (number,) in cursor.fetchall()}
            for _ in range(min(free, len(self._permits))):
                number = self._permits.pop()
                cursor.execute(
                    "SELECT pg_advisory_unlock(%s, %s)",
                    [concurrency_limit.CALLS, number],
                )

    def _pass(self, until: datetime) -> None:
        progress.update_progress()
        self.is_frozen = bool(self.suspended)
        self.clock.pass_time(max(until - self.clock.now, timedelta()))
        self.sides.execute_delayed()

    def _step(self, duration: timedelta) -> None:
        # The grace period of a request that has no response yet is shorter then: this is
        # a documented limit. So delayed requests are executed before.
        self.sides.execute_delayed(now=True)
        self.clock.step(duration)

    def _change(self, name: str) -> None:
        possible_moves.change_list(self.sides.world, name)

    def _restore(self) -> None:
        for actor in self.suspended:
            self.turns.end_session(actor)
        self.first.state.put_back()
        restored_backup.restored(self.first.state.at)

    # --- Staff ------------------------------------------------------------------------

    def _choose_action(self, name: str, pk: int | None) -> None:
        Staff(lambda: self.sides.world, self.approved, lambda: None).choose(name, pk)

    def _has_doubts(self, state: SavedState) -> bool:
        return any(
            row["state"] == "HELD" and row["doubtful"]
            for row in state.tables["rewards_assignment"]
        )

    def _answer_all(self) -> None:
        """Let staff wait, and answer all open questions by the platform's ledger."""
        self._pass(self.clock.now + 2 * LATEST)
        for row in saved_state.save(self.clock.now).tables["rewards_assignment"]:
            if row["state"] == "HELD" and row["doubtful"]:
                self._choose_action("answer", row["id"])

    # --- Actors -----------------------------------------------------------------------

    def _drive_new(
        self, name: str, work: Callable[[], object], *, is_coarse: bool = False
    ) -> None:
        actor = Actor(f"{name} #{self.number}", work, is_coarse=is_coarse)
        random.seed(0)
        self.turns.start(actor)
        self._drive(actor)

    def _wake(self, actor: Actor) -> None:
        self.suspended.remove(actor)
        self.is_frozen = False
        self.turns.proceed(actor)
        self._drive(actor)

    def end_all(self) -> None:
        """Let all suspended actors run to their end."""
        for actor in list(self.suspended):
            self.suspended.remove(actor)
            while not actor.is_done:
                self.turns.proceed(actor)

    def _drive(self, actor: Actor) -> None:
        """Let an actor run until it ends, is killed, or is preempted."""
        while not actor.is_done:
            if actor.at == Point.ACTIVATING_CLAIMED:
                self._note(invariants.after_claim())
            where = f"{actor.name} at {actor.at!r}: "
            try:
                option = self._choose(list(self._options_at(actor)), where)
            except Diverged:
                self.suspended.append(actor)
                raise
            option.act()
            self._note(invariants.of_ledger(self.sides.world))
            if actor in self.suspended:
                return
        if actor.error and not isinstance(actor.error, _LOST):
            self._note([f"{actor.name} failed: {actor.error!r}"])

    def _options_at(self, actor: Actor) -> Iterator[Option]:
        def proceed(answer: str = "") -> Callable[[], None]:
            return partial(self.turns.proceed, actor, answer)

        yield Option("go on", FREE, proceed())
        yield Option("sleep", PREEMPTION, partial(self.suspended.append, actor))
        if not actor.is_far:
            yield Option("kill", FAULT, partial(self.turns.kill, actor))
        for answer in _answers_at(actor.at) if actor.is_far else ():
            yield Option(answer, FAULT, proceed(answer))

    # --- The result -------------------------------------------------------------------

    def _check(self, state: SavedState) -> None:
        progress.update_progress()
        world = self.sides.world
        self._note(invariants.at_rest(state, world, self.approved, OCCURRENCE))

    def _note(self, problems: list[str]) -> None:
        self.problems += [each for each in problems if each not in self.problems]


def _answers_at(where: str) -> tuple[str, ...]:
    if where.startswith("platform has"):
        return ("lost", "unsent", "late", "soon", "refused", "503", "500", "500 after")
    return ("lost",)


@contextmanager
def explorer(
    capability: str,
    *,
    name: str = "explorer",
    reports: bool = True,
    breaks_promise: bool = False,
) -> Iterator[Explorer]:
    """Prepare a database, the integrations and a clock, with a collected list of two."""
    parsed = Capability.parse(capability)
    with ExitStack() as stack:
        stack.enter_context(database(name))
        clock = stack.enter_context(VirtualClock())
        turns = stack.enter_context(Turns())
        sides = Integrations(turns, lambda: clock.now, parsed, breaks_promise)
        url = stack.enter_context(Server(sides))
        stack.enter_context(
            changed_settings(
                OPTIMOVE_PROMOTIONS_URL=f"{url}/optimove",
                PLATFORM_URL=f"{url}/platform",
                PLATFORM_CAPABILITY=capability,
            )
        )
        clock.set(START, clock.seconds)
        first = _prepare(clock, sides)
        yield Explorer(capability, turns, clock, sides, first, reports)


def _prepare(clock: VirtualClock, sides: Integrations) -> Node:
    """Fetch a list of two rewards, and return the state in which they are due."""
    fill_queues()
    User.objects.create(username="staff")
    sides.world.rows = [possible_moves.listed(1), possible_moves.listed(2)]
    restored_backup.detect_restore()
    open_execution(OCCURRENCE)
    while collect.is_due():
        tasks.collect()
    tasks.follow_clearances()
    return Node(saved_state.save(clock.now), sides.world.copy(), clock.seconds)


def named(capability: str, choices: tuple[tuple[int, int], ...]) -> str:
    """Return the ID of a schedule: the capability, and the choices that are not 0."""
    return "-".join([capability, *(f"{number}.{chosen}" for number, chosen in choices)])


def read_name(text: str) -> tuple[str, dict[int, int]]:
    """
    Return the capability and the choices of an ID.

    :raises ValueError: if the text is no ID
    """
    capability, *choices = text.split("-")
    if capability not in CAPABILITIES:
        msg = f"{text!r} is no schedule: it must begin with one of {CAPABILITIES}."
        raise ValueError(msg)
    pairs = (choice.partition(".") for choice in choices)
    return capability, {int(number): int(chosen) for number, _, chosen in pairs}


def repeat(explorer: Explorer, choices: dict[int, int]) -> list[str]:
    """Run the schedule with these choices; return its problems."""
    explorer.begin(explorer.first)
    explorer.run(lambda number, _: choices.get(number, 0))
    return explorer.problems
