"""Evaluation of Optimove's rows: the state, reason and columns of each assignment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from executions.models import Execution, ExecutionStop
from promoportal import optimove, platforms
from promoportal.db import database_identity
from promoportal.db.bulk import Columns
from promoportal.db.database_identity import Gap
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
    unproven: str = "",
    difference: AssignmentDifference | None = None,
) -> Verdict:
    """
    Decide the state of a row, and the reason for it.

    `repeated` means that the customer has another assignment of the promotion.
    `unproven` says why it may be that other assignment, or may have been sent under
    another key. Staff must then decide, even if the contract file allows repeats.
    `difference` is the part that Optimove changed since it assigned the reward.
    """
    if row.problem or row.meaning != Meaning.ACTIVATE:
        return _not_assigned(row)
    if terms.stop == ExecutionStop.CANCELLED:
        return Verdict(VOID, AssignmentReason.CANCELLED, "The execution is cancelled.")
    second = unproven or _second(repeated)
    for reason, problem in _to_confirm(row, terms, second, difference):
        if reason not in terms.confirmed:
            return Verdict(HELD, reason, problem)
    return Verdict(AssignmentState.OWED)


def _second(repeated: bool) -> str:
    """Return why staff must confirm a second assignment, or ""."""
    if not repeated or optimove.current().vendor.repeats_are_meant:
        return ""
    return "This customer was assigned this promotion already, under another id."


def _to_confirm(
    row: Row, terms: Terms, second: str, difference: AssignmentDifference | None
) -> Iterator[tuple[AssignmentReason, str]]:
    """Yield each reason that staff must confirm for the row, with a sentence."""
    if second:
        yield AssignmentReason.REPEATED, second
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


# The keys of two assignments of one customer and promotion depend on their order.
KEY_UNPROVEN = (
    "This customer has another assignment of this promotion, and the database was"
    " restored. Before that, each of the two may have been sent with the key of the"
    " other one: compare how many rewards the platform gave, not only the keys."
)


@dataclass(frozen=True)
class Listed:
    """
    One row of a page, with its columns and the conditions of its evaluation.

    `conflict` is set if another assignment has the row's assignment ID. Staff must
    then approve the row, however it becomes pending.
    """

    row: Row
    promotion: int | None
    columns: dict[str, Any]
    terms: Terms
    conflict: AssignmentDifference | None = None

    @property
    def owner(self) -> tuple[int | None, str]:
        return self.promotion, self.row.customer

    @property
    def content(self) -> tuple[Any, ...]:
        """Return what distinguishes two rows with one assignment ID."""
        row, reward = self.row, self.columns["reward"]
        return row.customer, row.promotion, row.status, reward, row.unique_code

    def as_new(self, *, repeated: bool, unproven: str = "") -> dict[str, Any]:
        """Return the columns of a row that is listed for the first time."""
        repeated = repeated and bool(self.row.customer) and self.promotion is not None
        verdict = evaluate(
            self.row,
            self.terms,
            repeated=repeated,
            unproven=unproven if repeated else "",
            difference=self.conflict,
        )
        if self.conflict and verdict.reason == AssignmentReason.DIFFERS:
            verdict = verdict._replace(problem=conflict_problem(self.conflict))
        return {
            "promotion": self.promotion,
            "reference": self.row.reference,
            "customer": self.row.customer,
            "repeated": repeated,
            "key": None if self.row.problem else self._key(repeated=repeated),
            "difference": self.conflict or "",
            **verdict._asdict(),
            **self.columns,
        }

    def against(
        self, old: Assignment, difference: AssignmentDifference | None
    ) -> tuple[Verdict, Columns]:
        """Evaluate a stored row; also return its owner's columns if it gets a key."""
        row, terms = self.row, self.terms
        is_known = old.key or row.problem or row.meaning != Meaning.ACTIVATE
        owner, unproven = ({}, "") if is_known else self.owner_columns(old)
        repeated = owner.get("repeated", old.repeated)
        verdict = evaluate(
            row,
            terms,
            repeated=repeated,
            unproven=unproven,
            difference=difference or self.conflict,
        )
        return verdict, owner

    def owner_columns(self, old: Assignment) -> tuple[Columns, str]:
        """
        Return the columns of the owner and the key, for a row that was invalid.

        Also return why the key is not proven, or "".
        """
        owner = {"promotion": self.promotion, "customer": self.row.customer}
        same = Assignment.objects.filter(execution=old.execution_id, **owner)
        first = same.exclude(pk=old.pk).filter(repeated=False).first()
        repeated = old.repeated or first is not None
        key = self._key(repeated=repeated)
        unproven = is_key_unproven(self.row, first, Gap.objects.all()) if first else ""
        return {**owner, "repeated": repeated, "key": key}, unproven

    def _key(self, *, repeated: bool) -> UUID:
        row = self.row
        return idempotency.idempotency_key(
            self.terms.execution.reference,
            row.promotion,
            row.customer,
            row.reference if repeated else "",
        )


def is_key_unproven(row: Row, first: Assignment | None, gaps: Iterable[Gap]) -> str:
    """
    Return why the key of a further assignment of a customer is not proven, or "".

    Of several assignments, the one that was stored first has the key without an
    assignment ID. After a restored backup, Optimove may list them in another order. The
    order is proven if the backup contained the `first` assignment.
    """
    since = database_identity.doubtful_since(row.assigned_at, gaps)
    is_proven = since is None or (first and first.created_at < since)
    return "" if is_proven else KEY_UNPROVEN


def conflict_problem(conflict: AssignmentDifference) -> str:
    """Return the problem of a row under the assignment ID of another assignment."""
    if conflict == AssignmentDifference.OWNER:
        return "Optimove listed this id for another customer or promotion before."
    return "Optimove listed this id with another reward before."


def evaluate_page(page: Iterable[Row], terms: Terms) -> list[Listed]:
    """Return the rows of a page. Equal rows with one assignment ID are returned once."""
    rows = list(page)
    promotions = _known_promotions(rows)
    found: dict[str, list[Listed]] = {}
    for row in rows:
        columns = _columns(row)
        listed = Listed(row, promotions.get(row.promotion), columns, terms)
        same = found.setdefault(row.reference, [])
        if all(listed.content != other.content for other in same):
            same.append(listed)
    return [listed for same in found.values() for listed in same]


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
