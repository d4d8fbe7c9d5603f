"""
The operator's own safeguards, since Optimove's Auto Flow has no approval step.

Limits are on what one execution assigned in all, so that many small passes cannot go
past what one large one may not. They are checked under the collection's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import F, QuerySet

from executions import lifecycle
from executions.locks import lock_exclusive, lock_shared
from executions.models import Execution, ExecutionStop
from promoportal.runtime.environment import amounts
from promoportal.runtime.time_budget import TimeBudget
from rewards import signals
from rewards.models import Assignment, Collection, Tally

BATCH_SIZE = 5000
# Seconds a job goes on, so that others get their turn.
TURN = 8.0


@dataclass(frozen=True)
class Limits:
    """What an execution may assign at most; None or absent: whatever it likes."""

    customers: int | None = None
    value: Mapping[str, Decimal] = field(default_factory=dict)
    reward: Mapping[str, Decimal] = field(default_factory=dict)

    def bound_executions(self) -> bool:
        return self.customers is not None or bool(self.value)

    def allow_reward(self, value: Decimal, unit: str) -> bool:
        most = self.reward.get(unit)
        return most is None or value <= most


def limits() -> Limits:
    """
    The limits as they are set.

    :raises ImproperlyConfigured: naming the variable and what is wrong with it
    """
    return _limits(
        tuple(settings.LIMIT_CUSTOMERS),
        tuple(settings.LIMIT_VALUE),
        tuple(settings.LIMIT_REWARD),
    )


def is_execution_unlimited() -> bool:
    """Whether what is assigned need not wait for its pass to be checked."""
    return not limits().bound_executions()


def admit(execution: Execution, rows: Iterable[tuple[str, Decimal | None]]) -> None:
    """Add newly assigned rewards, each with its unit and value, to the tallies."""
    sums: dict[str, tuple[int, Decimal]] = {}
    for unit, value in rows:
        customers, total = sums.get(unit, (0, Decimal(0)))
        sums[unit] = customers + 1, total + (value or 0)
    for unit, (customers, total) in sorted(sums.items()):
        Tally.objects.get_or_create(execution=execution, unit=unit)
        Tally.objects.filter(execution=execution, unit=unit).update(
            customers=F("customers") + customers, value=F("value") + total
        )


def look(execution_pk: int, *, ends: bool) -> ExecutionStop:
    """
    Whether the execution is stopped, and keep it so: strongly where `clear` follows at the
    end of the pass, which may hold it.
    """
    return (lock_exclusive if ends and not is_execution_unlimited() else lock_shared)(
        execution_pk
    )


def check_run(collection: Collection) -> None:
    """
    Let what was collected be claimed, or hold the execution before it is.

    The collection is locked by the caller.
    """
    execution = collection.execution
    over = _over(_figures(execution), collection.waived)
    if over:
        lifecycle.hold(execution, problem=over)
    else:
        _let_claim(collection)


def waive(execution: Execution) -> None:
    """A person let the execution go as it stands now: these figures are allowed."""
    collection, _ = Collection.objects.get_or_create(execution=execution)
    locked = Collection.objects.select_for_update().get(pk=collection.pk)
    locked.waived = _figures(execution)
    locked.save(update_fields=["waived"])
    _let_claim(locked)


def check_again(execution: Execution) -> None:
    """
    What was listed already is assigned only now, and waits for the end of this pass.

    The collection is locked by the caller.
    """
    Collection.objects.filter(execution=execution).update(cleared_to=None)


def release_admitted() -> None:
    """Let be claimed what is left of what passed, for one turn."""
    budget = TimeBudget(TURN)
    for collection in unfinished():
        while not budget.is_spent() and _let_claim_some(collection.pk):
            pass


def is_due() -> bool:
    """Whether something that passed cannot be claimed yet."""
    return unfinished().exists()


def unfinished() -> QuerySet[Collection]:
    """Collections of which not every row that passed can be claimed yet."""
    return Collection.objects.filter(cleared_to__isnull=False)


def _let_claim(locked: Collection) -> None:
    """All that is there now: the first of it at once, which usually is all."""
    last = Assignment.objects.order_by("-pk").values_list("pk", flat=True).first()
    Collection.objects.filter(pk=locked.pk).update(cleared_to=last)
    if _let_claim_some(locked.pk):
        signals.cleared.send(Collection)


def _let_claim_some(collection_pk: int) -> bool:
    """Some thousands of them; say whether there may be more."""
    with transaction.atomic():
        # A million rows in one transaction would outlast the job that clears them.
        mine = Collection.objects.select_for_update().get(pk=collection_pk)
        if mine.cleared_to is None:
            return False
        waiting = Assignment.objects.filter(
            execution=mine.execution_id, cleared=False, pk__lte=mine.cleared_to
        )
        some = list(waiting.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])
        if Assignment.objects.filter(pk__in=some).update(cleared=True):
            signals.owed.send(Execution)
        if len(some) < BATCH_SIZE:
            Collection.objects.filter(pk=collection_pk).update(cleared_to=None)
        return len(some) == BATCH_SIZE


def _figures(execution: Execution) -> dict[str, Any]:
    tallies = Tally.objects.filter(execution=execution)
    return {
        "customers": sum(tally.customers for tally in tallies),
        "value": {tally.unit: str(tally.value) for tally in tallies if tally.unit},
    }


def _over(figures: Mapping[str, Any], waived: Mapping[str, Any]) -> str:
    """What is past its limit and was not let go, as a sentence; or nothing."""
    found = [*_customers_over(figures, waived), *_values_over(figures, waived)]
    return " ".join(found)


def _customers_over(figures: Mapping[str, Any], waived: Mapping[str, Any]) -> list[str]:
    most, there = limits().customers, figures["customers"]
    if most is None or there <= max(most, waived.get("customers", 0)):
        return []
    return [f"{there} rewards were assigned; the limit is {most}."]


def _values_over(figures: Mapping[str, Any], waived: Mapping[str, Any]) -> list[str]:
    let_go = waived.get("value", {})
    return [
        f"{figures['value'][unit]} {unit} were assigned; the limit is {most}."
        for unit, most in limits().value.items()
        if Decimal(figures["value"].get(unit, 0))
        > max(most, Decimal(let_go.get(unit, 0)))
    ]


@cache
def _limits(
    customers: tuple[str, ...], value: tuple[str, ...], reward: tuple[str, ...]
) -> Limits:
    if len(customers) > 1 or not all(part.isdecimal() for part in customers):
        msg = f"LIMIT_CUSTOMERS is {','.join(customers)!r}; it must be a whole number."
        raise ImproperlyConfigured(msg)
    return Limits(
        customers=int(customers[0]) if customers else None,
        value=amounts("LIMIT_VALUE", value),
        reward=amounts("LIMIT_REWARD", reward),
    )
