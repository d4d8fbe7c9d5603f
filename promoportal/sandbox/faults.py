"""
Bad days to order.

A fault on a far side stands around its work: it may do the work and lose the answer, or
answer without doing it. A fault on the notices says in which ways one is delivered. A
new kind is one function and one entry in a table.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from promoportal.sandbox.messages import Answer, Manner, Work, said

# Where they strike.
LISTS = "v1/customerAssignments"
ON_LIST_KINDS = (
    "shifted_up",
    "shifted_down",
    "listed_late",
    "wrong_total",
    "other_ids",
)

# The vendor's own words. CONFIRMED.
TOO_MANY = MappingProxyType(
    {
        "status": 429,
        "error": "Too Many Requests",
        "message": "You have exceeded the rate limit for this API group. "
        "Please retry later.",
    }
)
NOTICES = "notices"
# Seconds: a day. Whatever is later than that is as good as never.
MAX_SECONDS = 86_400
SIDES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "optimove": frozenset({"optimove"}),
        "promotions": frozenset({"promotions"}),
        "vendor": frozenset({"optimove", "promotions"}),
        "platform": frozenset({"platform"}),
        "any": frozenset({"optimove", "promotions", "platform"}),
        "inside": frozenset({"inside"}),  # what the vendor's halves tell each other
        NOTICES: frozenset({NOTICES}),
    }
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of bad day, for a side and a route, for so many times."""

    kind: str
    side: str = "any"
    # A pattern over the path ("v1/redemptions/batch", "rewards/*") or the method and
    # the path ("GET rewards/*"), in any case; for notices, the event type ("13").
    route: str = "*"
    times: int | None = 1  # None: until it is taken back
    lasts: float | None = None  # seconds after which it takes itself back
    chance: float = 1.0
    seed: int = 1
    skip: int = 0  # how many go well first
    seconds: float = 1.0  # where the kind has to do with time
    status: int | None = None  # where the kind is an HTTP error
    retry_after: int | None = None
    text: str | None = None  # what is said instead
    changes: Mapping[str, object] | None = None  # to the fields of an altered answer
    by: int = 1  # how far a total is wrong; below zero: too few

    def __post_init__(self) -> None:
        """:raises ValueError: with a sentence, if it makes no sense"""
        if self.side not in SIDES:
            raise ValueError(_choose("side", self.side, SIDES))
        kinds = kinds_of(self.side)
        if self.kind not in kinds:
            raise ValueError(_choose(f"kind for {self.side}", self.kind, kinds))
        if not 0 <= self.chance <= 1 or (self.times is not None and self.times < 1):
            raise ValueError("chance must be from 0 to 1, and times at least 1.")
        for name, seconds in (("seconds", self.seconds), ("lasts", self.lasts)):
            if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
                raise ValueError(f"{name} must be from 0 to {MAX_SECONDS:,}.")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599.")

    def concerns(self, side: str, *names: str) -> bool:
        route = self.route.lower()
        if self.kind in ON_LIST_KINDS and LISTS not in names:
            return False
        return side in SIDES[self.side] and any(
            fnmatchcase(name.lower(), route) for name in names
        )

    def shown(self) -> dict[str, object]:
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass
class _Ordered:
    fault: Fault
    left: int | None
    skip: int
    luck: random.Random
    at: float  # when it was ordered

    @property
    def lasts(self) -> float | None:
        """For how many seconds more; None: as long as there are chances."""
        if self.fault.lasts is None:
            return None
        return max(0.0, self.at + self.fault.lasts - time.monotonic())

    @property
    def remainder(self) -> Fault:
        return replace(self.fault, times=self.left, lasts=self.lasts)

    def strikes(self) -> bool:
        """Count one chance to strike, and say whether it does."""
        if self.skip:
            self.skip -= 1
            return False
        if self.fault.chance < 1 and self.luck.random() >= self.fault.chance:
            return False
        self.left = None if self.left is None else self.left - 1
        return True


@dataclass
class Faults:
    """What is ordered and has not happened yet, first come, first served."""

    _ordered: list[_Ordered] = field(default_factory=list)

    def order(self, fault: Fault) -> None:
        luck = random.Random(fault.seed)  # noqa: S311 - to be repeatable, not secret
        now = time.monotonic()
        self._ordered.append(_Ordered(fault, fault.times, fault.skip, luck, now))

    def clear(self) -> None:
        self._ordered.clear()

    def waiting(self) -> list[Fault]:
        self._forget_what_is_over()
        return [one.remainder for one in self._ordered]

    def take(self, side: str, *names: str) -> Fault | None:
        """Find the fault that strikes this time, if any."""
        self._forget_what_is_over()
        for one in self._ordered:
            if one.fault.concerns(side, *names) and one.strikes():
                if one.left == 0:
                    self._ordered.remove(one)
                return one.fault
        return None

    def _forget_what_is_over(self) -> None:
        self._ordered = [one for one in self._ordered if one.lasts != 0]


Around = Callable[[Fault, Work], Awaitable[Answer]]


async def _lost_answer(_fault: Fault, work: Work) -> Answer:
    """The work is done, then the connection closes without a word."""
    return replace(work(), manner=Manner.CUT)


async def _half_answer(_fault: Fault, work: Work) -> Answer:
    """The work is done, then the connection closes in the middle of the answer."""
    return replace(work(), manner=Manner.HALF)


async def _reset(_fault: Fault, _work: Work) -> Answer:
    """The connection is reset before any work."""
    return Answer(manner=Manner.RESET)


async def _error_before(fault: Fault, _work: Work) -> Answer:
    """5xx, or any other status, and nothing was done."""
    return _failure(fault, 500)


async def _error_after(fault: Fault, work: Work) -> Answer:
    """The work is done, and a gateway says that it is not."""
    work()
    return _failure(fault, 502)


async def _too_many(fault: Fault, _work: Work) -> Answer:
    """429, as at the limit; Retry-After only if it is asked for."""
    return replace(said(dict(TOO_MANY), 429), headers=_retry_after(fault))


async def _slow(fault: Fault, work: Work) -> Answer:
    """The work is done at once, the answer takes its time."""
    answer = work()
    await asyncio.sleep(fault.seconds)
    return answer


async def _late_work(fault: Fault, work: Work) -> Answer:
    """The work itself is late: it is done even if no one waits for it any more."""
    await asyncio.sleep(fault.seconds)
    return work()


async def _sentence(fault: Fault, _work: Work) -> Answer:
    """200 and a bare JSON string where an object was due; nothing was done."""
    return said(fault.text or "Bad Request", fault.status or 200)


async def _sentence_after(fault: Fault, work: Work) -> Answer:
    """The same, although the work was done."""
    work()
    return said(fault.text or "Internal error", fault.status or 200)


async def _empty(fault: Fault, work: Work) -> Answer:
    """The work is done, and the answer is 200 and empty."""
    work()
    return Answer(fault.status or 200)


async def _altered(fault: Fault, work: Work) -> Answer:
    """The work is done, and `changes` replace fields of the answer."""
    answer = work()
    fields = json.loads(answer.body) | dict(fault.changes or {})
    return replace(answer, body=json.dumps(fields).encode())


async def _drip(fault: Fault, work: Work) -> Answer:
    """The work is done, and the answer comes byte by byte, `seconds` in all."""
    answer = work()
    pause = fault.seconds / max(1, len(answer.body))
    return replace(answer, manner=Manner.DRIP, pause=pause)


AROUND_WORK: Mapping[str, Around] = MappingProxyType(
    {
        "lost_answer": _lost_answer,
        "half_answer": _half_answer,
        "reset": _reset,
        "error_before": _error_before,
        "error_after": _error_after,
        "too_many": _too_many,
        "slow": _slow,
        "late_work": _late_work,
        "sentence": _sentence,
        "sentence_after": _sentence_after,
        "empty": _empty,
        "drip": _drip,
        "altered": _altered,
    }
)


class Way(NamedTuple):
    """One delivery of a notice: how long from now, and whether the next goes first."""

    after: float = 0.0
    behind_next: bool = False


ON_NOTICES: Mapping[str, Callable[[Fault], list[Way]]] = MappingProxyType(
    {
        "lost": lambda _fault: [],
        "doubled": lambda _fault: [Way(), Way()],
        "delayed": lambda fault: [Way(after=fault.seconds)],
        # If no other follows within `seconds`, it goes alone.
        "reordered": lambda fault: [Way(after=fault.seconds, behind_next=True)],
    }
)


def kinds_of(side: str) -> Collection[str]:
    """Everything that can be ordered of a side."""
    if side == NOTICES:
        return ON_NOTICES.keys()
    of_lists = ON_LIST_KINDS if "promotions" in SIDES[side] else ()
    return [*AROUND_WORK, *of_lists]


def _failure(fault: Fault, status: int) -> Answer:
    answer = said(fault.text or "An error occurred", fault.status or status)
    return replace(answer, headers=_retry_after(fault))


def _retry_after(fault: Fault) -> Mapping[str, str]:
    if fault.retry_after is None:
        return {}
    return {"Retry-After": str(fault.retry_after)}


def _choose(what: str, given: str, known: Iterable[str]) -> str:
    return f"There is no {what} called {given!r}; there is {', '.join(known)}."
