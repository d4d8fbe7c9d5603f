"""
What can go wrong on the wire, named by what the caller should do next.

* WireError
  - Unavailable    nothing happened: try again later
  - Unanswered     it may have happened: settle before trying again
  - Rejected       it will not happen: a person has to look
  - Malformed      the answer breaks the contract; of a change: unanswered, and a person
                   if it stays so
  - Misconfigured  our key, address or method is wrong: that side's breaker opens, and
                   the rows stay where they are
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one call: enough for a person, and nothing secret."""

    status: int | None = None
    answer: str = ""
    duration_ms: int = 0


NOTHING_KNOWN = Evidence()


class WireError(Exception):
    """A call that did not bring what it was made for."""

    def __init__(
        self,
        problem: str,
        evidence: Evidence = NOTHING_KNOWN,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.evidence = evidence
        self.retry_after = retry_after

    @property
    def status(self) -> int | None:
        return self.evidence.status

    @property
    def answer(self) -> str:
        return self.evidence.answer

    @property
    def duration_ms(self) -> int:
        return self.evidence.duration_ms

    @property
    def record(self) -> Evidence:
        """Return the evidence to store: the problem stands for a response without words."""
        return replace(self.evidence, answer=self.answer or self.problem)


class Unavailable(WireError):
    """Nothing happened: try again later, not before `retry_after` seconds if told."""


class Unanswered(WireError):
    """It may have happened: settle before trying again."""


class Rejected(WireError):
    """It will not happen: a person has to look."""


class Malformed(WireError):
    """The answer breaks the contract."""


class Misconfigured(WireError):
    """Our configuration is wrong, and no row is to blame."""
