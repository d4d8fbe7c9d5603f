"""
The search: all schedules within a budget, or as many as the time allows.

A schedule is run in parts, from one state in which no actor waits to the next one. A
state that was reached before, with at least the same budget, is not explored again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.explorer.schedules import (
    Budget,
    Diverged,
    Ended,
    Explorer,
    Node,
    Option,
    named,
)

# The sample takes every other deviation from this number of newest ones.
_LATEST, _HALF = 100, 0.5


@dataclass
class Found:
    """The figures of a search, and the first schedule with problems."""

    runs: int = 0  # parts of schedules that ran
    ends: int = 0  # schedules that ran to their end
    states: int = 0  # different states, in which no actor waited
    pruned: int = 0  # states that were reached again with no larger budget
    choices: int = 0
    diverged: int = 0  # parts that could not be repeated, and were left out
    is_complete: bool = False
    seconds: float = 0.0
    bad: str = ""  # ID of a schedule
    problems: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """A part of a schedule: from a node, with choices by number, and what is left."""

    node: Node
    forced: dict[int, int]
    left: Budget
    since: int  # choices up to this one were varied before


class Search:
    """All schedules of one explorer within a budget, each state only once."""

    def __init__(
        self, explorer: Explorer, seconds: float = float("inf"), seed: int | None = None
    ) -> None:
        self.explorer = explorer
        self.found = Found()
        self._ends_at = time.monotonic() + seconds
        self._began = time.monotonic()
        self._drawn = random.Random(seed) if seed is not None else None  # noqa: S311 - must be repeatable
        self._seen: dict[str, list[Budget]] = {}
        self._states: list[_Part] = []  # to be continued without a deviation
        self._deviations: list[_Part] = []

    def run(self, budget: Budget) -> Found:
        """
        Run all schedules; stop at the first problem, or when the time is over.

        With a seed, deviations come in random order. Each is followed to its end.
        """
        first = self.explorer.first
        self._states = [_Part(first, {}, budget, first.number)]
        while part := self._next():
            self._run(part)
        self.found.is_complete = not (
            self._deviations or self._states or self.found.bad or self.found.diverged
        )
        self.found.states = len(self._seen)
        self.found.seconds = time.monotonic() - self._began
        return self.found

    def _next(self) -> _Part | None:
        if self.found.bad or time.monotonic() > self._ends_at:
            return None
        if self._states:
            return self._states.pop()
        if self._drawn and self._deviations:
            # Half of them continue what was found last: these have several deviations.
            last = len(self._deviations)
            least = max(0, last - _LATEST) if self._drawn.random() < _HALF else 0
            chosen = self._drawn.randrange(least, last)
            found = self._deviations
            found[chosen], found[-1] = found[-1], found[chosen]
        return self._deviations.pop() if self._deviations else None

    def _run(self, part: _Part) -> None:
        offered: list[tuple[int, list[Option]]] = []

        def choose(number: int, options: list[Option]) -> int:
            if number > part.since and number not in part.forced:
                offered.append((number, options))
            return part.forced.get(number, 0)

        explorer = self.explorer
        explorer.begin(part.node)
        is_over = False
        try:
            is_over = explorer.run(choose, once=True)
        except Ended as error:
            explorer.problems.append(str(error))
        except Diverged:
            # A session of a killed job may still have had its locks, for example.
            explorer.end_all()
            self.found.diverged += 1
            return
        self.found.runs += 1
        self.found.choices += explorer.number - part.node.number
        if explorer.problems:
            self._report()
        elif is_over:
            self.found.ends += 1
        else:
            self._reach(part.left)
        for number, options in offered:
            self._deviations += _deviations(part, number, options)

    def _reach(self, left: Budget) -> None:
        node = self.explorer.save()
        known = self._seen.setdefault(self.explorer.digest(node.state), [])
        if any(budget.allows(left) for budget in known):
            self.found.pruned += 1
            return
        known.append(left)
        self._states.append(_Part(node, {}, left, node.number))

    def _report(self) -> None:
        self.found.bad = named(self.explorer.capability, tuple(self.explorer.taken))
        self.found.problems = list(self.explorer.problems)


def _deviations(part: _Part, number: int, options: list[Option]) -> Iterator[_Part]:
    """Yield the parts that choose another option here, within the budget."""
    for chosen, option in enumerate(options):
        if chosen and part.left.allows(option.cost):
            forced = {**part.forced, number: chosen}
            yield _Part(part.node, forced, part.left - option.cost, number)
