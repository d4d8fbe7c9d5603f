"""Keeping what the vendor lists: what is new, what changed, and what it makes owed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from executions.models import Execution, Stop
from promoportal import continuity, optimove, platforms, sets
from promoportal.continuity import Gap
from promoportal.optimove import Meaning, Reward, Row
from promoportal.sets import Columns
from rewards import changes, keys, limits, signals
from rewards.models import Assignment, Promotion, Reason, State

REPEATED = "This customer was assigned this promotion already, under another id."


@dataclass(frozen=True)
class Listed:
    """What a page brought: rows this pass had not seen, and the customers on it."""

    fresh: int
    customers: frozenset[str]


def store(
    execution: Execution, page: Sequence[Row], *, listed_pass: int, stop: Stop
) -> Listed:
    """
    Insert what is new and follow what changed. Storing a page again changes nothing.

    Runs in the transaction that saves the page's cursor, under the collection's lock,
    so that nobody else stores rows of this execution meanwhile.
    """
    rows = _by_reference(page)
    promotions = _promotions(rows.values())
    known = _known(execution, rows)
    new = [row for row in rows.values() if row.reference not in known]
    inserted = _insert(execution, new, promotions, listed_pass, stop)
    seen_again = _mark_listed(known.values(), listed_pass)
    again = [(known[ref], row) for ref, row in rows.items() if ref in known]
    changes.follow(execution, again, stop=stop)
    _tell(execution, inserted)
    return Listed(
        fresh=len(inserted) + seen_again,
        customers=frozenset(row.customer for row in rows.values()),
    )


def _by_reference(page: Iterable[Row]) -> dict[str, Row]:
    """The rows of a page, one for each reference, and none lost."""
    rows: dict[str, Row] = {}
    for row in page:
        first = rows.setdefault(row.reference, row)
        if _says(first) != _says(row):
            contrary = _contrary(row)
            rows.setdefault(contrary.reference, contrary)
    return rows


def _says(row: Row) -> tuple[Any, ...]:
    reward = worth(row.reward) if row.reward else None
    return row.customer, row.promotion, row.status, reward, row.unique_code


def _contrary(row: Row) -> Row:
    """A row that says otherwise than another of the same reference: a person decides."""
    digest = hashlib.sha256(repr(_says(row)).encode()).hexdigest()[:16]
    problem = "Optimove lists this assignment id twice, and not the same both times."
    reference = f"{row.reference[:180]}#{digest}"
    return replace(row, reference=reference, problem=row.problem or problem)


def substance(row: Row) -> dict[str, Any]:
    """The columns that say what the vendor said."""
    reward = row.reward
    return {
        "as_assigned": row.raw,
        "vendor_status": row.status,
        "meaning": row.meaning,
        "reward": worth(reward) if reward else None,
        "value": reward.value if reward else None,
        "unit": unit(reward) if reward else "",
        "unique_code": row.unique_code or "",
        "properties": row.properties,
        "assigned_at": row.assigned_at,
    }


def worth(reward: Reward) -> dict[str, Any]:
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


def standing(row: Row, *, repeated: bool, stop: Stop) -> tuple[State, str, str]:
    """What a row amounts to in its execution: state, reason, problem."""
    state, reason, problem = verdict(row)
    if row.meaning != Meaning.ACTIVATE or row.problem:
        return state, reason, problem
    if stop == Stop.CANCELLED:
        return State.VOID, Reason.CANCELLED, "The execution is cancelled."
    if repeated and not optimove.current().vendor.repeats_are_meant:
        return State.HELD, Reason.REPEATED, REPEATED
    return state, reason, problem


def verdict(row: Row) -> tuple[State, str, str]:
    """What a row amounts to, whoever else it meets: state, reason, problem."""
    if row.problem:
        return State.HELD, Reason.UNREADABLE, row.problem
    if row.meaning == Meaning.UNKNOWN:
        problem = f"The contract does not say what status {row.status!r} means."
        return State.HELD, Reason.UNKNOWN_STATUS, problem
    if row.meaning == Meaning.CANCELLED:
        return State.VOID, Reason.CANCELLED, "Optimove lists it as cancelled."
    if row.meaning == Meaning.NOTHING:
        return State.VOID, Reason.NOT_ASSIGNED, f"Its status is {row.status}."
    return _limited(row)


def _limited(row: Row) -> tuple[State, str, str]:
    reward = row.reward
    if reward is None or limits.limits().allow_reward(reward.value, unit(reward)):
        return State.OWED, "", ""
    problem = f"{reward.value} {unit(reward)} is past the limit for one reward."
    return State.HELD, Reason.OVER_LIMIT, problem


def _promotions(rows: Iterable[Row]) -> dict[str, int]:
    """Our key of each promotion named on the page."""
    codes = {row.promotion: row.promotion_code or "" for row in rows if row.promotion}
    known = Promotion.objects.filter(reference__in=codes)
    missing = codes.keys() - set(known.values_list("reference", flat=True))
    Promotion.objects.bulk_create(
        [Promotion(reference=ref, code=codes[ref]) for ref in sorted(missing)],
        ignore_conflicts=True,
    )
    return dict(known.all().values_list("reference", "pk"))


def whose(assignment: Assignment, row: Row) -> Columns:
    """Whose an assignment is that could not be read before, and its key."""
    promotion = _promotions([row])[row.promotion]
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


def _known(execution: Execution, rows: Iterable[str]) -> dict[str, Assignment]:
    found = Assignment.objects.select_related("promotion", "execution").filter(
        execution=execution, reference__in=list(rows)
    )
    return {assignment.reference: assignment for assignment in found}


def _insert(
    execution: Execution,
    rows: Sequence[Row],
    promotions: Mapping[str, int],
    listed_pass: int,
    stop: Stop,
) -> list[Columns]:
    taken, gaps = _taken(execution, rows), list(Gap.objects.all())
    new: list[Columns] = []
    for row in rows:
        three = (promotions.get(row.promotion), row.customer)
        columns = _new(execution, row, three, repeated=three in taken, stop=stop)
        new.append({**columns, **_doubt(row, gaps)})
        taken.add(three)
    sets.insert_each(
        Assignment,
        new,
        execution=execution,
        listed_pass=listed_pass,
        cleared=limits.clear_at_once(),
    )
    return new


def _taken(execution: Execution, rows: Sequence[Row]) -> set[tuple[int | None, str]]:
    """Which promotions these customers were assigned already in this execution."""
    customers = [row.customer for row in rows if row.customer]
    found = Assignment.objects.filter(
        execution=execution, customer__in=customers, repeated=False
    )
    return set(found.values_list("promotion_id", "customer"))


def _new(
    execution: Execution,
    row: Row,
    three: tuple[int | None, str],
    *,
    repeated: bool,
    stop: Stop,
) -> Columns:
    repeated = repeated and bool(row.customer) and three[0] is not None
    state, reason, problem = standing(row, repeated=repeated, stop=stop)
    return {
        "promotion": three[0],
        "reference": row.reference,
        "customer": row.customer,
        "state": state,
        "reason": reason,
        "problem": problem,
        "repeated": repeated,
        "key": None if row.problem else key_of(execution, row, repeated=repeated),
        **substance(row),
    }


def _doubt(row: Row, gaps: Iterable[Gap]) -> Columns:
    """What was assigned in a gap of our rows may have been sent in it."""
    since = continuity.doubtful_since(row.assigned_at, gaps)
    return {"doubtful": since is not None, "first_sent_at": since}


def key_of(execution: Execution, row: Row, *, repeated: bool) -> Any:
    repeat = row.reference if repeated else ""
    return keys.key_of(execution.reference, row.promotion, row.customer, repeat)


def _mark_listed(known: Iterable[Assignment], listed_pass: int) -> int:
    """How many of them this pass had not seen yet."""
    earlier = [row.pk for row in known if row.listed_pass < listed_pass]
    return Assignment.objects.filter(pk__in=earlier).update(listed_pass=listed_pass)


def _tell(execution: Execution, inserted: Iterable[Columns]) -> None:
    wanted = [row for row in inserted if row["meaning"] == Meaning.ACTIVATE]
    limits.count(execution, [(row["unit"], row["value"]) for row in wanted])
    # Those that wait for the limits are told of once they passed them.
    if any(row["state"] == State.OWED for row in wanted):
        signals.owed.send(Execution)
