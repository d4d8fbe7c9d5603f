"""
Errors of a call, named after what the caller should do next.

* WireError
  - Unavailable    no effect: retry later
  - Unanswered     possible effect: settle the outcome before a retry
  - Rejected       no effect, and a retry does not help: needs review
  - Malformed      the response breaks the contract; for a change: like unanswered,
                   needs review if it persists
  - Misconfigured  the key, address or method is wrong: that side's circuit breaker
                   opens, and the rows stay as they are
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts of one call that staff may see: nothing secret."""

    status: int | None = None
    answer: str = ""
    duration_ms: int = 0


NOTHING_KNOWN = Evidence()


class WireError(Exception):
    """A call without the expected result."""

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
    """No effect: retry later, after `retry_after` seconds if the response says so."""


class Unanswered(WireError):
    """Possible effect: settle the outcome before a retry."""


class Rejected(WireError):
    """No effect, and a retry does not help: needs review."""


class Malformed(WireError):
    """The response breaks the contract."""


class Misconfigured(WireError):
    """The portal's configuration is wrong; no row is the cause."""
