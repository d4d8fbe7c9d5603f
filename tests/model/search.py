"""Exploration of all runs, the shortest first, and stories of the runs."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.model import (
    activation_steps,
    failures,
    optimove_steps,
    properties,
    resolution_steps,
    staff_steps,
)
from tests.model.state import Setting, State, Step, first_state

Steps = Callable[[State, Setting], Iterator[Step]]

STEPS: tuple[Steps, ...] = (
    optimove_steps.fetch,
    activation_steps.claim,
    activation_steps.send,
    activation_steps.arrive,
    activation_steps.conclude,
    activation_steps.expire,
    resolution_steps.settle,
    resolution_steps.look_up,
    resolution_steps.store_answer,
    resolution_steps.hold_unsettled,
    resolution_steps.hold_too_late,
    staff_steps.open_page,
    staff_steps.decide_later,
    staff_steps.decide_now,
    staff_steps.pause,
    optimove_steps.change,
    failures.wait,
    failures.set_clock,
    failures.kill,
    failures.upgrade,
    failures.restore,
)


@dataclass(frozen=True)
class Violation:
    """A broken guarantee, and the shortest run that breaks it."""

    guarantee: str
    story: tuple[str, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"{n}. {line}" for n, line in enumerate(self.story, 1))
        return f"Broken: {self.guarantee}.\n{steps}"


@dataclass
class Explored:
    """All states that were reached, with the step that reached each first."""

    states: list[State] = field(default_factory=list)
    reached_by: list[tuple[int, str]] = field(default_factory=list)
    number: dict[State, int] = field(default_factory=dict)
    quiet: list[tuple[int, int]] = field(default_factory=list)
    """The steps that are no disturbances, as pairs of numbers of states."""
    moves: set[tuple[str, str]] = field(default_factory=set)
    """The changes of state of rows that occurred."""
    transitions: int = 0
    violation: Violation | None = None

    def add(self, state: State, before: int, story: str) -> int:
        """Return the number of a state; a new state gets the next number."""
        known = self.number.setdefault(state, len(self.states))
        if known == len(self.states):
            self.states.append(state)
            self.reached_by.append((before, story))
        return known

    def story(self, number: int) -> tuple[str, ...]:
        lines = []
        while number:
            number, line = self.reached_by[number]
            lines.append(line)
        return tuple(reversed(lines))


def steps(state: State, setting: Setting) -> Iterator[Step]:
    """Yield each step that is possible in this state."""
    for each in STEPS:
        yield from each(state, setting)


def explore(setting: Setting, most: int | None = None) -> Explored:
    """Explore all runs, until one breaks a guarantee."""
    # The collector finds nothing: it would only read all states again and again.
    gc.disable()
    try:
        return _explore(setting, most)
    finally:
        gc.enable()


def _explore(setting: Setting, most: int | None) -> Explored:
    found = Explored()
    found.add(first_state(setting.bounds), 0, "")
    number = 0
    while number < len(found.states):
        if most is not None and number > most:
            return found
        _expand(found, number, setting)
        if found.violation:
            return found
        number += 1
    found.violation = _stuck(found)
    return found


def _expand(found: Explored, number: int, setting: Setting) -> None:
    state = found.states[number]
    for step in steps(state, setting):
        found.transitions += 1
        size = len(found.states)
        after = found.add(_canonical(step.state), number, step.story)
        if not step.disturbs:
            found.quiet.append((number, after))
        _record_moves(found, state, step.state)
        is_new = after == size
        names = [*properties.broken_by(state, step.state)]
        names += properties.broken(step.state, setting) if is_new else ()
        if names:
            story = (*found.story(number), step.story)
            found.violation = Violation(names[0], story)
            return


def _canonical(state: State) -> State:
    """Return the same state with the busy workers first: workers are alike."""
    claims = state.claims
    if claims[0] or not any(claims):
        return state
    # There are two workers at most: the second one becomes the first one.
    rows = tuple(row._replace(token=1) if row.token == 2 else row for row in state.rows)
    requests = (
        each._replace(worker=1) if each.worker == 2 else each for each in state.requests
    )
    return state._replace(
        rows=rows, claims=(claims[1], None), requests=tuple(sorted(requests))
    )


def _record_moves(found: Explored, before: State, after: State) -> None:
    if before.gap is None and after.gap:
        return  # a restored backup is no move
    for old, new in zip(before.rows, after.rows, strict=True):
        if old is not new and old.state != new.state:
            found.moves.add((old.state, new.state))


def _stuck(found: Explored) -> Violation | None:
    """Return the shortest run after which a row stays neither final nor visible."""
    earlier: dict[int, list[int]] = {}
    for before, after in found.quiet:
        earlier.setdefault(after, []).append(before)
    good = {n for n, s in enumerate(found.states) if properties.is_settled(s)}
    queue = deque(good)
    while queue:
        for before in earlier.get(queue.popleft(), ()):
            if before not in good:
                good.add(before)
                queue.append(before)
    stuck = next((n for n in range(len(found.states)) if n not in good), None)
    return None if stuck is None else Violation(properties.PROGRESS, found.story(stuck))
