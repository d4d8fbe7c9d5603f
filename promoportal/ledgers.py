"""
An execution's page: how its rewards get on, from the vendor's list to the report.

The figures are the census's: they cost the same of ten rewards and of a million. Whether
the three ledgers agree row by row is counted only where that is quick.
"""

from __future__ import annotations

from collections.abc import Iterator

from executions.models import Execution
from promoportal.admin import pages
from promoportal.admin.drawing import shares
from promoportal.admin.pages import Fact, Group, Panel
from promoportal.admin.showing import list_of
from promoportal.census import Kind
from promoportal.reconciling import reconcile
from promoportal.standing import Standing
from redemptions.models import UNREPORTED, Redemption
from redemptions.models import Reason as Unreported
from redemptions.models import State as Reporting
from rewards.models import Assignment, Reason, State

# Of more rows than this, comparing them one by one takes too long for a page.
MOST_COMPARED = 20_000


@pages.panel(Execution)
def ledgers(execution: Execution) -> Panel:
    """What the vendor lists, what is active, what is reported; and where they differ."""
    (standing,) = Standing.of_each([execution])
    return Panel(
        "From the vendor's list to the report",
        drawing=shares(standing.parts()),
        facts=[*_stages(standing), *_beside(standing)],
        sentences=list(_sentences(standing)),
        groups=[*_held_assignments(standing), *_held_redemptions(standing)],
        is_wide=True,
        is_live=standing.is_moving(),
    )


def _stages(standing: Standing) -> Iterator[Fact]:
    pk = standing.execution.pk
    every = list_of(Assignment, execution=pk)
    active = list_of(Assignment, execution=pk, state__exact=State.ACTIVE)
    reported = list_of(Redemption, execution=pk, state__exact=Reporting.REPORTED)
    for name, count, href in (
        ("listed", standing.assigned(), every),
        ("eligible", standing.eligible(), every),
        ("active", standing.assigned(State.ACTIVE), active),
        ("reported", standing.redeemed(Reporting.REPORTED), reported),
    ):
        yield Fact(name, f"{count:,}", href, "main")


def _beside(standing: Standing) -> Iterator[Fact]:
    """What lies between two stages, where anything does."""
    pk = standing.execution.pk
    for name, state, tone in (
        ("owed", State.OWED, ""),
        ("being activated", State.ACTIVATING, ""),
        ("uncertain", State.UNCERTAIN, ""),
        ("held", State.HELD, "warn"),
        ("void", State.VOID, ""),
    ):
        if count := standing.assigned(state):
            href = list_of(Assignment, execution=pk, state__exact=state)
            yield Fact(name, f"{count:,}", href, tone)
    if count := standing.redeemed(*UNREPORTED):
        href = list_of(Redemption, execution=pk, reported="no")
        yield Fact("to be reported", f"{count:,}", href)
    if count := standing.redeemed(Reporting.HELD):
        href = list_of(Redemption, execution=pk, state__exact=Reporting.HELD)
        yield Fact("reports held", f"{count:,}", href, "warn")


def _sentences(standing: Standing) -> Iterator[str]:
    active = standing.assigned(State.ACTIVE)
    missing = standing.eligible() - active
    if missing > 0:
        where = ", ".join(
            f"{part.count:,} {part.name}"
            for part in standing.parts()
            if part.count and part.name not in {"active", "void"}
        )
        yield f"{missing:,} that the vendor assigned are not active: {where}."
    unreported = active - standing.redeemed(Reporting.REPORTED)
    if unreported > 0:
        yield f"{unreported:,} that are active are not reported yet, or not to be."
    if pace := standing.pace():
        yield f"It goes at {pace}."
    yield from _drift(standing)


def _drift(standing: Standing) -> Iterator[str]:
    execution = standing.execution
    if standing.assigned() > MOST_COMPARED:
        yield (
            "So many are compared with the vendor's list row by row by "
            f"manage.py reconcile {execution.reference}."
        )
    elif drift := reconcile(execution).drift:
        yield (
            f"{drift:,} disagree with the vendor's list, or lack a redemption. "
            "Collect the execution again; what still disagrees then is for an engineer."
        )


def _held_assignments(standing: Standing) -> Iterator[Group]:
    for reason, count in standing.held(Kind.ASSIGNMENT):
        yield Group(
            dict(Reason.choices).get(reason, "For another reason"),
            count,
            list_of(
                Assignment,
                execution=standing.execution.pk,
                state__exact=State.HELD,
                reason__exact=reason,
            ),
            can_retry=True,
        )


def _held_redemptions(standing: Standing) -> Iterator[Group]:
    for reason, count in standing.held(Kind.REDEMPTION):
        label = dict(Unreported.choices).get(reason, "for another reason")
        yield Group(
            f"Reports: {label}",
            count,
            list_of(
                Redemption,
                execution=standing.execution.pk,
                state__exact=Reporting.HELD,
                reason__exact=reason,
            ),
        )
