from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from executions.models import Execution, ExecutionStop
from promoportal import optimove, platforms
from promoportal.db.bulk import Columns
from promoportal.optimove import Meaning, Reward, Row
from rewards import idempotency, limits
from rewards.models import Assignment, AssignmentReason, AssignmentState, Promotion

REPEATED = "This customer was assigned this promotion already, under another id."


def vendor_columns(row: Row) -> dict[str, Any]:
    """The columns that say what the vendor said."""
    reward = row.reward
    return {
        "as_assigned": row.raw,
        "vendor_status": row.status,
        "meaning": row.meaning,
        "reward": reward_payload(reward) if reward else None,
        "value": reward.value if reward else None,
        "unit": unit(reward) if reward else "",
        "unique_code": row.unique_code or "",
        "properties": row.properties,
        "assigned_at": row.assigned_at,
    }


def reward_payload(reward: Reward) -> dict[str, Any]:
    """A reward as the platform is told of it, with the digits the vendor used."""
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


def unit(reward: Reward) -> str:
    """What its value is counted in: a currency, or spins and the like."""
    return (reward.currency or reward.unit or reward.type)[:50]


def evaluate_in_execution(
    row: Row, *, repeated: bool, stop: ExecutionStop
) -> tuple[AssignmentState, str, str]:
    """What a row amounts to in its execution: state, reason, problem."""
    state, reason, problem = evaluate(row)
    if row.meaning != Meaning.ACTIVATE or row.problem:
        return state, reason, problem
    if stop == ExecutionStop.CANCELLED:
        return (
            AssignmentState.VOID,
            AssignmentReason.CANCELLED,
            "The execution is cancelled.",
        )
    if repeated and not optimove.current().vendor.repeats_are_meant:
        return AssignmentState.HELD, AssignmentReason.REPEATED, REPEATED
    return state, reason, problem


def evaluate(row: Row) -> tuple[AssignmentState, str, str]:
    """What a row amounts to, whoever else it meets: state, reason, problem."""
    if row.problem:
        return AssignmentState.HELD, AssignmentReason.UNREADABLE, row.problem
    if row.meaning == Meaning.UNKNOWN:
        problem = f"The contract does not say what status {row.status!r} means."
        return AssignmentState.HELD, AssignmentReason.UNKNOWN_STATUS, problem
    if row.meaning == Meaning.CANCELLED:
        return (
            AssignmentState.VOID,
            AssignmentReason.CANCELLED,
            "Optimove lists it as cancelled.",
        )
    if row.meaning == Meaning.NOTHING:
        return (
            AssignmentState.VOID,
            AssignmentReason.NOT_ASSIGNED,
            f"Its status is {row.status}.",
        )
    return _limited(row)


def _limited(row: Row) -> tuple[AssignmentState, str, str]:
    reward = row.reward
    if reward is None or limits.limits().allow_reward(reward.value, unit(reward)):
        return AssignmentState.OWED, "", ""
    problem = f"{reward.value} {unit(reward)} is past the limit for one reward."
    return AssignmentState.HELD, AssignmentReason.OVER_LIMIT, problem


def known_promotions(rows: Iterable[Row]) -> dict[str, int]:
    """Our key of each promotion named on the page."""
    codes = {row.promotion: row.promotion_code or "" for row in rows if row.promotion}
    known = Promotion.objects.filter(reference__in=codes)
    missing = codes.keys() - set(known.values_list("reference", flat=True))
    Promotion.objects.bulk_create(
        [Promotion(reference=ref, code=codes[ref]) for ref in sorted(missing)],
        ignore_conflicts=True,
    )
    return dict(known.all().values_list("reference", "pk"))


def owner_columns(assignment: Assignment, row: Row) -> Columns:
    """Whose an assignment is that could not be read before, and its key."""
    promotion = known_promotions([row])[row.promotion]
    same = Assignment.objects.filter(
        execution=assignment.execution_id, promotion=promotion, customer=row.customer
    )
    others = same.exclude(pk=assignment.pk).filter(repeated=False)
    repeated = assignment.repeated or others.exists()
    return {
        "customer": row.customer,
        "promotion": promotion,
        "repeated": repeated,
        "key": key_of(assignment.execution, row, repeated=repeated),
    }


def key_of(execution: Execution, row: Row, *, repeated: bool) -> Any:
    repeat = row.reference if repeated else ""
    return idempotency.idempotency_key(
        execution.reference, row.promotion, row.customer, repeat
    )
