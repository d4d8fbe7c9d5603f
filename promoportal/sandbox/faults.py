"""
Faults that can be added, for tests and demonstrations.

A fault of a service is a function around the work of one request. A fault of webhooks
decides how one webhook is delivered.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from promoportal.sandbox.messages import Answer, Manner, Work, reply

LISTS = "v1/customerAssignments"
ON_LIST_KINDS = (
    "shifted_up",
    "shifted_down",
    "listed_late",
    "wrong_total",
    "other_ids",
)

# The body of Optimove's 429. CONFIRMED.
TOO_MANY: Mapping[str, object] = {
    "status": 429,
    "error": "Too Many Requests",
    "message": "You have exceeded the rate limit for this API group. "
    "Please retry later.",
}
NOTICES = "notices"
MAX_SECONDS = 86_400  # one day
SIDES: Mapping[str, frozenset[str]] = {
    "optimove": frozenset({"optimove"}),
    "promotions": frozenset({"promotions"}),
    "vendor": frozenset({"optimove", "promotions"}),
    "platform": frozenset({"platform"}),
    "any": frozenset({"optimove", "promotions", "platform"}),
    "inside": frozenset({"inside"}),  # internal calls of Optimove
    NOTICES: frozenset({NOTICES}),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of one kind: where it strikes, how often, and with which details."""

    kind: str
    side: str = "any"
    # A pattern for the path ("v1/redemptions/batch", "rewards/*"), or for the method
    # and the path ("GET rewards/*"). Case does not matter. For webhooks, it is a
    # pattern for the event type ("13").
    route: str = "*"
    times: int | None = 1  # None: every time, until the fault ends or is removed
    lasts: float | None = None  # seconds after which the fault ends
    chance: float = 1.0
    seed: int = 1
    skip: int = 0  # number of matching requests before it can strike
    seconds: float = 1.0  # for kinds with a duration
    status: int | None = None  # for kinds with an HTTP status
    retry_after: int | None = None
    text: str | None = None  # the text of the answer, for some kinds
    changes: Mapping[str, object] | None = None  # new fields of an altered answer
    by: int = 1  # added to a total; below zero: the total is too small

    def __post_init__(self) -> None:
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
    at: float  # when the fault was added, by the monotonic clock

    @property
    def lasts(self) -> float | None:
        """The seconds until the fault ends, or None if it has no time limit."""
        if self.fault.lasts is None:
            return None
        return max(0.0, self.at + self.fault.lasts - time.monotonic())

    @property
    def remainder(self) -> Fault:
        return replace(self.fault, times=self.left, lasts=self.lasts)

    def strikes(self) -> bool:
        """Return whether the fault strikes this request, and update the counters."""
        if self.skip:
            self.skip -= 1
            return False
        if self.fault.chance < 1 and self.luck.random() >= self.fault.chance:
            return False
        self.left = None if self.left is None else self.left - 1
        return True


@dataclass
class Faults:
    """The active faults, the oldest first. At most one strikes a request."""

    _ordered: list[_Ordered] = field(default_factory=list)

    def order(self, fault: Fault) -> None:
        luck = random.Random(fault.seed)  # noqa: S311 - to be repeatable, not secret
        now = time.monotonic()
        self._ordered.append(_Ordered(fault, fault.times, fault.skip, luck, now))

    def clear(self) -> None:
        self._ordered.clear()

    def waiting(self) -> list[Fault]:
        self._remove_ended()
        return [one.remainder for one in self._ordered]

    def take(self, side: str, *names: str) -> Fault | None:
        """Return the first fault that strikes this request, or None."""
        self._remove_ended()
        for one in self._ordered:
            if one.fault.concerns(side, *names) and one.strikes():
                if one.left == 0:
                    self._ordered.remove(one)
                return one.fault
        return None

    def _remove_ended(self) -> None:
        self._ordered = [one for one in self._ordered if one.lasts != 0]


Around = Callable[[Fault, Work], Awaitable[Answer]]


async def _lost_answer(_fault: Fault, work: Work) -> Answer:
    """Do the work, then close the connection without an answer."""
    return replace(work(), manner=Manner.CUT)


async def _half_answer(_fault: Fault, work: Work) -> Answer:
    """Do the work, send half of the answer, then close the connection."""
    return replace(work(), manner=Manner.HALF)


async def _reset(_fault: Fault, _work: Work) -> Answer:
    """Reset the connection, without the work."""
    return Answer(manner=Manner.RESET)


async def _error_before(fault: Fault, _work: Work) -> Answer:
    """Answer with `status`, or 500, without the work."""
    return _failure(fault, 500)


async def _error_after(fault: Fault, work: Work) -> Answer:
    """Do the work, but answer with `status`, or 502."""
    work()
    return _failure(fault, 502)


async def _too_many(fault: Fault, _work: Work) -> Answer:
    """Answer 429 without the work; with `Retry-After` only if the fault has one."""
    return replace(reply(TOO_MANY, 429), headers=_retry_after(fault))


async def _slow(fault: Fault, work: Work) -> Answer:
    """Do the work first, and answer `seconds` later."""
    answer = work()
    await asyncio.sleep(fault.seconds)
    return answer


async def _late_work(fault: Fault, work: Work) -> Answer:
    """Do the work after `seconds`, even if the client has disconnected by then."""
    await asyncio.sleep(fault.seconds)
    return work()


async def _sentence(fault: Fault, _work: Work) -> Answer:
    """Answer with a JSON string instead of an object, without the work."""
    return reply(fault.text or "Bad Request", fault.status or 200)


async def _sentence_after(fault: Fault, work: Work) -> Answer:
    """Do the work, but answer with a JSON string instead of an object."""
    work()
    return reply(fault.text or "Internal error", fault.status or 200)


async def _empty(fault: Fault, work: Work) -> Answer:
    """Do the work, and answer with an empty body."""
    work()
    return Answer(fault.status or 200)


async def _altered(fault: Fault, work: Work) -> Answer:
    """Do the work, and replace fields of the answer with those in `changes`."""
    answer = work()
    fields = json.loads(answer.body) | dict(fault.changes or {})
    return replace(answer, body=json.dumps(fields).encode())


async def _drip(fault: Fault, work: Work) -> Answer:
    """Do the work, and send the answer byte by byte over `seconds`."""
    answer = work()
    pause = fault.seconds / max(1, len(answer.body))
    return replace(answer, manner=Manner.DRIP, pause=pause)


AROUND_WORK: Mapping[str, Around] = {
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


class Way(NamedTuple):
    """A delivery of a webhook: its delay, and whether the next webhook goes first."""

    after: float = 0.0
    behind_next: bool = False


ON_NOTICES: Mapping[str, Callable[[Fault], list[Way]]] = {
    "lost": lambda _fault: [],
    "doubled": lambda _fault: [Way(), Way()],
    "delayed": lambda fault: [Way(after=fault.seconds)],
    # If no other webhook is sent within `seconds`, this webhook is sent then.
    "reordered": lambda fault: [Way(after=fault.seconds, behind_next=True)],
}


def kinds_of(side: str) -> Collection[str]:
    """Return the kinds of faults that can be added for a side."""
    if side == NOTICES:
        return ON_NOTICES.keys()
    of_lists = ON_LIST_KINDS if "promotions" in SIDES[side] else ()
    return [*AROUND_WORK, *of_lists]


def _failure(fault: Fault, status: int) -> Answer:
    answer = reply(fault.text or "An error occurred", fault.status or status)
    return replace(answer, headers=_retry_after(fault))


def _retry_after(fault: Fault) -> Mapping[str, str]:
    if fault.retry_after is None:
        return {}
    return {"Retry-After": str(fault.retry_after)}


def _choose(what: str, given: str, known: Iterable[str]) -> str:
    return f"Unknown {what}: {given!r}. Known: {', '.join(known)}."
