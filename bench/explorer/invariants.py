"""The conditions that must hold after each schedule, by the ledgers and the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from django.conf import settings

from bench.explorer.integrations import World
from bench.explorer.saved_state import Row, SavedState
from executions.models import Execution, ExecutionStop
from promoportal.operations.reconciliation import reconcile

Approved = Sequence[tuple[str, str]]
# What Optimove assigns first, in each row.
_ASSIGNED = "10.00 EUR"


def of_ledger(world: World) -> list[str]:
    """Return what is wrong in the platform's ledger at any time."""
    counted = Counter(credit.key for credit in world.credits)
    return [
        f"Credited {count} times: key {key[:8]}."
        for key, count in counted.items()
        if count > 1
    ]


def after_claim() -> list[str]:
    """Return what is wrong right after a claim, before anything else happens."""
    stopped = Execution.objects.exclude(stop=ExecutionStop.NONE).first()
    return [f"Rewards were claimed while {stopped} is stopped."] if stopped else []


def at_rest(
    state: SavedState, world: World, approved: Approved, occurrence: str
) -> list[str]:
    """Return what is wrong when nothing is left to do."""
    found = of_ledger(world)
    execution = state.tables["executions_execution"][0]
    rows = state.tables["rewards_assignment"]
    reports = Counter(
        row["assignment_id"] for row in state.tables["redemptions_redemption"]
    )
    for row in rows:
        found += _row(row, world, approved, is_stopped=bool(execution["stop"]))
        if (row["state"] == "ACTIVE") != (reports[row["id"]] == 1):
            found.append(
                f"{row['reference']} is {row['state']}, and has {reports[row['id']]} redemptions."
            )
    found += _limits(world, approved)
    drift = reconcile(Execution.objects.get(reference=occurrence)).drift
    # Staff must see a reward that Optimove cancelled or changed too late.
    if drift and not any(
        row["cancelled_too_late"] or row["difference"] for row in rows
    ):
        found.append(f"{drift} rows are a mismatch.")
    return found


def _row(
    row: Row, world: World, approved: Approved, *, is_stopped: bool
) -> Iterator[str]:
    name, state = row["reference"], row["state"]
    credited = [credit for credit in world.credits if credit.key == row["key"]]
    if (state == "ACTIVE") != bool(credited):
        yield f"{name} is {state}, and was credited {len(credited)} times."
    if state in {"ACTIVATING", "UNCERTAIN"} or (state == "OWED" and not is_stopped):
        yield f"{name} is still {state} at the end."
    if state in {"HELD", "VOID"} and not row["reason"]:
        yield f"{name} is {state} without a reason."
    for credit in credited:
        if credit.customer != row["customer"]:
            yield f"{name} was credited to {credit.customer}, not to {row['customer']}."
        if credit.value != _ASSIGNED and (name, credit.value) not in approved:
            yield f"{name} was credited with {credit.value}, which staff did not approve."


def _limits(world: World, approved: Approved) -> Iterator[str]:
    total = sum(Decimal(credit.value.partition(" ")[0]) for credit in world.credits)
    [limit] = settings.LIMIT_VALUE
    most = Decimal(limit.partition("=")[2])
    if total > most and not approved:
        yield f"{total} EUR were credited; the limit is {most}."
