"""
Spending limits, because Optimove's Auto Flow has no approval step.

The limits of an execution apply to the sum of its rewards, over all runs. If the sum is
over a limit, the execution is stopped until staff resume it. Otherwise its rows are
cleared: workers may claim them. Limits are checked under a lock on the execution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import DecimalField, F, IntegerField, Q, QuerySet
from django.db.models.functions import Greatest

from executions import lifecycle
from executions.models import Execution
from promoportal import optimove
from promoportal.db import row_versions, state_machine
from promoportal.db.bulk import Columns
from promoportal.db.row_versions import Seen
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Meaning
from promoportal.runtime.environment import amounts
from promoportal.runtime.time_budget import TimeBudget
from rewards import signals
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    CollectionState,
    Lookup,
    Tally,
)

_amounts = cache(amounts)
BATCH_SIZE = 5000
# Seconds after which a job begins no further batch, so that other jobs can run.
TURN = 8.0


@dataclass(frozen=True)
class Limits:
    """The limits from the settings. None, or a missing unit, means no limit."""

    customers: int | None = None
    value: Mapping[str, Decimal] = field(default_factory=dict)
    reward: Mapping[str, Decimal] = field(default_factory=dict)

    def bound_executions(self) -> bool:
        return self.customers is not None or bool(self.value)

    def allow_reward(self, value: Decimal, unit: str) -> bool:
        most = self.reward.get(unit.casefold())
        return most is None or value <= most


def current() -> Limits:
    """
    Return the limits from the settings.

    :raises ImproperlyConfigured: with the name of the setting and the reason
    """
    customers = settings.LIMIT_CUSTOMERS
    if len(customers) > 1 or not all(part.isdecimal() for part in customers):
        msg = f"LIMIT_CUSTOMERS is {','.join(customers)!r}; it must be a whole number."
        raise ImproperlyConfigured(msg)
    return Limits(
        customers=int(customers[0]) if customers else None,
        value=_amounts("LIMIT_VALUE", tuple(settings.LIMIT_VALUE)),
        reward=_amounts("LIMIT_REWARD", tuple(settings.LIMIT_REWARD)),
    )


def admit(
    execution: Execution,
    rows: Iterable[Columns],
    *,
    instead_of: Iterable[Assignment] = (),
    again: bool = False,
) -> None:
    """
    Add rewards, each with its `unit` and `value`, to the tallies.

    `instead_of` contains the earlier versions of changed rewards, if they were counted.
    They are subtracted. `again` means that rewards that were listed before are
    newly assigned. In this case, all rows that are not cleared wait for the next check
    of the limits. The caller must have locked the execution.
    """
    sums: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    entries = [(1, row["unit"], row["value"]) for row in rows]
    entries += [(-1, row.unit, row.value) for row in instead_of]
    for sign, unit, value in entries:
        customers, total = sums[unit]
        sums[unit] = customers + sign, total + sign * (value or 0)
    for unit, (customers, total) in sorted(sums.items()):
        if customers or total:
            _add(execution, unit, customers, total)
    if again and current().bound_executions():
        Collection.objects.filter(execution=execution).update(cleared_to=None)


def admit_activated(rows: Iterable[Assignment]) -> None:
    """
    Count rewards of one execution that become `ACTIVE` and were not counted before.

    After a restored backup, a reward that is not assigned may turn out to be activated.
    If the execution is over a limit now, it is stopped. The caller must have locked the
    execution exclusively, and have fetched the rows with it.
    """
    uncounted = [row for row in rows if not is_counted(row)]
    if uncounted:
        execution = uncounted[0].execution
        admit(execution, [{"unit": row.unit, "value": row.value} for row in uncounted])
        hold_if_over(execution)


def is_counted(row: Assignment) -> bool:
    """Return whether the tallies contain the row: it is assigned, sent or activated."""
    is_assigned = row.meaning == Meaning.ACTIVATE
    return is_assigned or row.order is not None or row.state == AssignmentState.ACTIVE


def _add(execution: Execution, unit: str, customers: int, total: Decimal) -> None:
    tally, _ = Tally.objects.get_or_create(execution=execution, unit=unit)
    # Not below 0: the previous release did not correct tallies when a value changed.
    Tally.objects.filter(pk=tally.pk).update(
        customers=Greatest(F("customers") + customers, 0, output_field=IntegerField()),
        value=Greatest(F("value") + total, Decimal(0), output_field=DecimalField()),
    )


_WITHIN = "The rewards are within the limits now."


def hold_if_over(execution: Execution) -> bool:
    """
    If the execution is over a limit, stop it for review; return whether it is over.

    The caller must have locked the execution.
    """
    collection = Collection.objects.filter(execution=execution).first()
    over = _over(_figures(execution, collection), collection)
    if over:
        lifecycle.hold(execution, problem=over)
    else:
        lifecycle.renew(execution, problem=_WITHIN)
    return bool(over)


def check_run(collection: Collection) -> None:
    """
    Clear the rows of the execution if it is within the limits; otherwise, stop it.

    The caller must have locked the `Collection`.
    """
    if not hold_if_over(collection.execution):
        _release(collection)


def waive(execution: Execution, *, seen: Seen | None = None) -> None:
    """
    Approve the totals of an execution that staff resume, and clear its rows.

    The caller must have locked the execution. `seen` is the version that the user saw.

    :raises LostRace: if the totals are not those that the user saw
    """
    collection, _ = Collection.objects.get_or_create(execution=execution)
    locked = Collection.objects.select_for_update().get(pk=collection.pk)
    if seen is not None:
        shown = {pk: row_versions.only(each, [_FIGURES]) for pk, each in seen.items()}
        if row_versions.changed(execution, shown):
            raise LostRace(f"The figures of {execution} changed since then.")
    locked.waived = _figures(execution, locked)
    locked.save(update_fields=["waived"])
    _release(locked)


def release_admitted() -> None:
    """Clear further rows that passed the limits; begin no batch after `TURN` s."""
    budget = TimeBudget(TURN)
    for collection in _unfinished():
        while not budget.is_spent() and _release_some(collection.pk):
            pass


def is_due() -> bool:
    """Return whether rows that passed the limits may still have to be cleared."""
    return _unfinished().exists()


def _unfinished() -> QuerySet[Collection]:
    return Collection.objects.filter(cleared_to__isnull=False)


def _release(locked: Collection) -> None:
    """Clear the first batch of the current rows now; a job clears further batches."""
    last = Assignment.objects.order_by("-pk").values_list("pk", flat=True).first()
    Collection.objects.filter(pk=locked.pk).update(cleared_to=last)
    if _release_some(locked.pk):
        signals.cleared.send(Collection)


def _release_some(collection_pk: int) -> bool:
    """
    Clear one batch of rows; return whether there may be further rows.

    While the list is open, rows of a gap stay as they are: the end of the last run, or
    of the look-up, clears them.
    """
    with transaction.atomic():
        # One transaction for a million rows would take longer than a job may run.
        locked = Collection.objects.select_for_update().get(pk=collection_pk)
        if locked.cleared_to is None:
            return False
        waiting = Assignment.objects.filter(
            execution=locked.execution_id, cleared=False, pk__lte=locked.cleared_to
        )
        if _is_list_open(locked):
            waiting = waiting.exclude(_OF_GAP)
        elif _may_lack_first_rows(locked):
            _hold_unordered(waiting.filter(_OF_GAP))
        some = list(waiting.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])
        if Assignment.objects.filter(pk__in=some).update(cleared=True):
            signals.owed.send(Execution)
        if len(some) < BATCH_SIZE:
            Collection.objects.filter(pk=collection_pk).update(cleared_to=None)
        return len(some) == BATCH_SIZE


# Rows that may have been sent in a gap of the database, and not since. Their order
# decides their keys: see `ingest`.
_OF_GAP = Q(doubtful=True, order__isnull=True)
_INCOMPLETE = (
    "The database was restored, and Optimove's list stayed incomplete. A missing"
    " assignment of this customer may have been sent with the key of this one."
)


def _is_list_open(locked: Collection) -> bool:
    """Return whether further rows of an owner may follow: a run, a recheck, a look-up."""
    is_open = locked.state in {CollectionState.WAITING, CollectionState.COLLECTING}
    return is_open or Lookup.objects.filter(collection=locked).exists()


def _may_lack_first_rows(locked: Collection) -> bool:
    """Return whether a list that needs review may lack a row that was sent before."""
    is_held = locked.state == CollectionState.HELD
    return is_held and optimove.current().vendor.repeats_are_meant


def _hold_unordered(rows: QuerySet[Assignment]) -> None:
    state_machine.move_all(
        rows.filter(state=AssignmentState.OWED),
        AssignmentState.HELD,
        why=_INCOMPLETE,
        reason=AssignmentReason.REPEATED,
        problem=_INCOMPLETE,
    )


_FIGURES = "figures"


@row_versions.part(Execution, _FIGURES)
def _versioned_figures(executions: Sequence[Execution]) -> dict[int, Any]:
    """Return all that a resume approves: the totals, and those approved before."""
    tallies, fetches = defaultdict(list), {}
    for tally in Tally.objects.filter(execution__in=executions).order_by("unit"):
        tallies[tally.execution_id].append((tally.unit, tally.customers, tally.value))
    for fetch in Collection.objects.filter(execution__in=executions):
        fetches[fetch.execution_id] = (_unlisted(fetch), fetch.waived)
    return {
        row.pk: [tallies.get(row.pk, []), fetches.get(row.pk, (0, {}))]
        for row in executions
    }


def _figures(execution: Execution, collection: Collection | None) -> dict[str, Any]:
    tallies = Tally.objects.filter(execution=execution)
    return {
        "customers": sum(tally.customers for tally in tallies) + _unlisted(collection),
        "value": {tally.unit: str(tally.value) for tally in tallies if tally.unit},
    }


def _unlisted(collection: Collection | None) -> int:
    """
    Return how many rows are missing from a list that stayed incomplete, or 0.

    Each missing row may be a reward, so it counts against the limit.
    """
    if collection is None or collection.reason != AssignmentReason.INCOMPLETE:
        return 0
    return max(0, (collection.total or 0) - collection.seen)


def _over(figures: Mapping[str, Any], collection: Collection | None) -> str:
    """Return a sentence for each total that is over a limit and not approved, or ""."""
    limits, found, count = current(), [], figures["customers"]
    waived = (collection.waived if collection else None) or {}
    allowed = max(limits.customers or 0, waived.get("customers", 0))
    if limits.customers is not None and count > allowed:
        up_to = "Up to " if _unlisted(collection) else ""
        found.append(
            f"{up_to}{count} rewards were assigned; the limit is {limits.customers}."
        )
    sums, waived_sums = _by_unit(figures["value"]), _by_unit(waived.get("value", {}))
    names = {unit.casefold(): unit for unit in reversed(figures["value"])}
    for unit, most in limits.value.items():
        if (total := sums[unit]) > max(most, waived_sums[unit]):
            found.append(f"{total} {names[unit]} were assigned; the limit is {most}.")
    return " ".join(found)


def _by_unit(values: Mapping[str, str]) -> Mapping[str, Decimal]:
    """Return the sum per unit. "eur" and "EUR" are the same unit."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for unit, value in values.items():
        found[unit.casefold()] += Decimal(value)
    return found
