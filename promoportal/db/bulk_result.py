"""The result of one action on many rows, with the reason for each skipped row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SkipKind(StrEnum):
    """Reasons why a row was skipped, for programs."""

    WRONG_STATE = "wrong_state"
    TOO_EARLY = "too_early"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    IN_DOUBT = "in_doubt"
    EXECUTION_CANCELLED = "execution_cancelled"
    NEEDS_CONFIRMATION = "needs_confirmation"
    NEEDS_RETRY = "needs_retry"
    NOT_ELIGIBLE = "not_eligible"
    OTHER_OWNER = "other_owner"
    UNREADABLE = "unreadable"
    NEEDS_SECOND_PERSON = "needs_second_person"


@dataclass(frozen=True)
class SkipReason:
    """The reason why a row was skipped: a kind for programs, a sentence for staff."""

    kind: SkipKind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass
class BulkResult:
    """
    Numbers of changed rows and of skipped rows by reason, and the rows from `record`.

    `unreached` is the number of rows for which the action had no time.
    """

    done: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    rows: list[Any] = field(default_factory=list)
    unreached: int = 0

    def record(self, row: Any, skipped: SkipReason | None = None) -> None:
        """Add one row: as skipped if there is a reason, otherwise as changed."""
        self.rows.append(row)
        if skipped:
            self.skipped[skipped] += 1
        else:
            self.done += 1

    def add_counts(self, other: BulkResult) -> None:
        """Add the counts of another result, but not its rows."""
        self.done += other.done
        self.skipped += other.skipped
