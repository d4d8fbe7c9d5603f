"""Evaluation of Optimove's rows: the state, reason and columns of each assignment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from executions.models import Execution, ExecutionStop
from promoportal import optimove, platforms
from promoportal.db.bulk import Columns
from promoportal.optimove import Meaning, Reward, Row
from rewards import idempotency
from rewards.limits import Limits
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
    Promotion,
)

HELD, VOID = AssignmentState.HELD, AssignmentState.VOID
# Rows that need review for these reasons are evaluated again with Optimove's new data.
REREAD_REASONS = (AssignmentReason.UNREADABLE, AssignmentReason.UNKNOWN_STATUS)


@dataclass(frozen=True)
class Terms:
    """The conditions of an evaluation, with the reasons that staff confirmed."""

    execution: Execution
    stop: ExecutionStop
    limits: Limits
    confirmed: frozenset[str] = frozenset()


class Verdict(NamedTuple):
    """The state of a row; if it is not `OWED`, also the reason and a sentence."""

    state: AssignmentState
    reason: str = ""
    problem: str = ""


def evaluate(
    row: Row,
    terms: Terms,
    *,
    repeated: bool = False,
    difference: AssignmentDifference | None = None,
) -> Verdict:
    """
    Decide the state of a row, and the reason for it.

    `repeated` means that the customer has another assignment of the promotion.
    `difference` is the part that Optimove changed since it assigned the reward.
    """
    if row.problem or row.meaning != Meaning.ACTIVATE:
        return _not_assigned(row)
    if terms.stop == ExecutionStop.CANCELLED:
        return Verdict(VOID, AssignmentReason.CANCELLED, "The execution is cancelled.")
    for reason, problem in _to_confirm(row, terms, repeated, difference):
        if reason not in terms.confirmed:
            return Verdict(HELD, reason, problem)
    return Verdict(AssignmentState.OWED)


def _to_confirm(
    row: Row, terms: Terms, repeated: bool, difference: AssignmentDifference | None
) -> Iterator[tuple[AssignmentReason, str]]:
    """Yield each reason that staff must confirm for the row, with a sentence."""
    if repeated and not optimove.current().vendor.repeats_are_meant:
        yield (
            AssignmentReason.REPEATED,
            "This customer was assigned this promotion already, under another id.",
        )
    if (reward := row.reward) and not terms.limits.allow_reward(
        reward.value, _unit(reward)
    ):
        yield AssignmentReason.OVER_LIMIT, over_limit(reward.value, _unit(reward))
    if difference:
        yield AssignmentReason.DIFFERS, difference.problem


def over_limit(value: Decimal, unit: str) -> str:
    """Return the problem of a reward that is over the limit for one reward."""
    return f"{value} {unit} is past the limit for one reward."


def _not_assigned(row: Row) -> Verdict:
    if row.problem:
        return Verdict(HELD, AssignmentReason.UNREADABLE, row.problem)
    if row.meaning == Meaning.CANCELLED:
        problem = "Optimove lists it as cancelled."
        return Verdict(VOID, AssignmentReason.CANCELLED, problem)
    if row.meaning == Meaning.NOTHING:
        problem = f"Its status is {row.status}."
        return Verdict(VOID, AssignmentReason.NOT_ASSIGNED, problem)
    problem = f"The contract does not say what status {row.status!r} means."
    return Verdict(HELD, AssignmentReason.UNKNOWN_STATUS, problem)


@dataclass(frozen=True)
class Listed:
    """One row of a page, with its columns and the conditions of its evaluation."""

    row: Row
    promotion: int | None
    columns: dict[str, Any]
    terms: Terms

    def as_new(self, *, repeated: bool) -> dict[str, Any]:
        """Return the columns of a row that is listed for the first time."""
        repeated = repeated and bool(self.row.customer) and self.promotion is not None
        return {
            "promotion": self.promotion,
            "reference": self.row.reference,
            "customer": self.row.customer,
            "repeated": repeated,
            "key": None if self.row.problem else self._key(repeated=repeated),
            **evaluate(self.row, self.terms, repeated=repeated)._asdict(),
            **self.columns,
        }

    def against(
        self, old: Assignment, difference: AssignmentDifference | None
    ) -> tuple[Verdict, Columns]:
        """Evaluate a stored row; also return its owner's columns if it gets a key."""
        row, terms = self.row, self.terms
        is_known = old.key or row.problem or row.meaning != Meaning.ACTIVATE
        owner = {} if is_known else self.owner(old)
        repeated = owner.get("repeated", old.repeated)
        return evaluate(row, terms, repeated=repeated, difference=difference), owner

    def owner(self, old: Assignment) -> Columns:
        """Return the columns of the owner and the key, for a row that was invalid."""
        owner = {"promotion": self.promotion, "customer": self.row.customer}
        same = Assignment.objects.filter(execution=old.execution_id, **owner)
        others = same.exclude(pk=old.pk).filter(repeated=False)
        repeated = old.repeated or others.exists()
        return {**owner, "repeated": repeated, "key": self._key(repeated=repeated)}

    def _key(self, *, repeated: bool) -> UUID:
        row = self.row
        return idempotency.idempotency_key(
            self.terms.execution.reference,
            row.promotion,
            row.customer,
            row.reference if repeated else "",
        )


def evaluate_page(page: Iterable[Row], terms: Terms) -> dict[str, Listed]:
    """Return the rows by assignment ID; a conflicting second row gets a new ID."""
    rows: dict[str, Row] = {}
    for row in page:
        first = rows.setdefault(row.reference, row)
        if first is not row and _content(first) != _content(row):
            conflicting = _conflicting(row)
            rows.setdefault(conflicting.reference, conflicting)
    promotions = _known_promotions(rows.values())
    return {
        reference: Listed(row, promotions.get(row.promotion), _columns(row), terms)
        for reference, row in rows.items()
    }


def _content(row: Row) -> tuple[Any, ...]:
    reward = _reward_payload(row.reward) if row.reward else None
    return row.customer, row.promotion, row.status, reward, row.unique_code


def _conflicting(row: Row) -> Row:
    """Return a copy of the row that is marked as invalid and has a new ID."""
    digest = hashlib.sha256(repr(_content(row)).encode()).hexdigest()[:16]
    problem = "Optimove lists this assignment id twice, and not the same both times."
    reference = f"{row.reference[:180]}#{digest}"
    return replace(row, reference=reference, problem=row.problem or problem)


def _known_promotions(rows: Iterable[Row]) -> dict[str, int]:
    """Insert new promotions of the rows; return the primary keys of all promotions."""
    codes = {row.promotion: row.promotion_code or "" for row in rows if row.promotion}
    known = Promotion.objects.filter(reference__in=codes)
    missing = codes.keys() - set(known.values_list("reference", flat=True))
    Promotion.objects.bulk_create(
        [Promotion(reference=ref, code=codes[ref]) for ref in sorted(missing)],
        ignore_conflicts=True,
    )
    return dict(known.all().values_list("reference", "pk"))


def _columns(row: Row) -> dict[str, Any]:
    reward = row.reward
    return {
        "as_assigned": row.raw,
        "vendor_status": row.status,
        "meaning": row.meaning,
        "reward": _reward_payload(reward) if reward else None,
        "value": reward.value if reward else None,
        "unit": _unit(reward) if reward else "",
        "unique_code": row.unique_code or "",
        "properties": row.properties,
        "assigned_at": row.assigned_at,
    }


def _reward_payload(reward: Reward) -> dict[str, Any]:
    """Return the reward of an order, with the value exactly as Optimove wrote it."""
    return asdict(
        platforms.Reward(
            category=reward.category,
            type=reward.type,
            value=reward.value_text,
            currency=reward.currency,
            unit=reward.unit,
            tier=reward.tier_name or reward.tier,
        )
    )


def _unit(reward: Reward) -> str:
    """Return the unit of the value: the currency, a unit such as spins, or the type."""
    unit = reward.currency or reward.unit or reward.type
    return " ".join(unit.split())[:50]
