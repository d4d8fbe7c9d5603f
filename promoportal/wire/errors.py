"""
Errors of a call. The class decides what the caller does next.

* WireError
  - Unavailable    no effect: retry later
  - Unanswered     possible effect: resolve the outcome before a retry
  - Rejected       no effect, and a retry does not help: needs review
  - Malformed      the response breaks the contract: handle a change like Unanswered;
                   after several such responses, the row needs review
  - Misconfigured  the key, address or method is wrong: the integration's circuit
                   breaker opens, and the rows keep their state
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts about one call that staff may see. They contain no secret."""

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
        was_sent: bool = True,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.evidence = evidence
        self.retry_after = retry_after
        self.was_sent = was_sent

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
        """Return the evidence to store; `answer` is the problem if no text arrived."""
        return replace(self.evidence, answer=self.answer or self.problem)


class Unavailable(WireError):
    """No effect: retry later, at the earliest after `retry_after` seconds, if set."""


class Unanswered(WireError):
    """Possible effect: resolve the outcome before a retry."""


class Rejected(WireError):
    """No effect, and a retry does not help: needs review."""


class Malformed(WireError):
    """The response breaks the contract."""


class Misconfigured(WireError):
    """The portal's configuration is wrong. The row is not the cause."""
