"""What joins the stages on a page: an execution's three ledgers; and both far sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from executions.models import Execution
from promoportal.admin import pages
from promoportal.admin.attention import Attention
from promoportal.admin.pages import Fact, Panel
from promoportal.admin.rows import ReadOnlyAdmin, when
from promoportal.admin.showing import list_of, moment, since, stamp
from promoportal.breakers import Breaker
from promoportal.leases import after, database_now
from promoportal.optimove.allowance import WINDOW, Allowance, Priority
from promoportal.reconciling import Reconciled, reconcile
from redemptions.models import Redemption
from redemptions.models import State as Reporting
from rewards.models import Assignment, State

# Seconds for which a breaker may be open before staff are told.
_A_WHILE = 15


@pages.panel(Execution)
def ledgers(execution: Execution) -> Panel:
    """What the vendor lists, what is active, what is reported; and where they differ."""
    found = reconcile(execution)
    return Panel(
        "From the vendor's list to the report",
        facts=_figures(execution, found),
        sentences=list(_differences(found)),
        is_wide=True,
    )


def _figures(execution: Execution, found: Reconciled) -> Sequence[Fact]:
    def assigned(state: State) -> str:
        return list_of(Assignment, execution=execution.pk, state__exact=state)

    def redeemed(state: Reporting) -> str:
        return list_of(Redemption, execution=execution.pk, state__exact=state)

    every = list_of(Assignment, execution=execution.pk)
    figures = [
        Fact("listed", found.listed, every, "main"),
        Fact("eligible", found.eligible, every, "main"),
        Fact("active", found.active, assigned(State.ACTIVE), "main"),
        Fact("reported", found.reported, redeemed(Reporting.REPORTED), "main"),
    ]
    beside = [
        Fact("owed", found.owed, assigned(State.OWED)),
        Fact("uncertain", found.uncertain, assigned(State.UNCERTAIN)),
        Fact("held", found.held, assigned(State.HELD), "warn"),
        Fact("void", found.void, assigned(State.VOID)),
        Fact("to be reported", found.waiting, _unreported(execution)),
        Fact("reports held", found.reports_held, redeemed(Reporting.HELD), "warn"),
        Fact("in drift", found.drift, "", "warn"),
    ]
    return [*figures, *(fact for fact in beside if fact.value)]


def _unreported(execution: Execution) -> str:
    return list_of(Redemption, execution=execution.pk, reported="no")


def _differences(found: Reconciled) -> Iterator[str]:
    """Where two ledgers differ, and by what."""
    if found.eligible > found.active:
        missing = found.eligible - found.active
        yield f"{missing:,} that the vendor assigned are not active: {_where(found)}."
    if found.active > found.reported:
        missing = found.active - found.reported
        yield f"{missing:,} that are active are not reported yet, or not to be."
    if found.drift:
        yield (
            f"{found.drift:,} disagree with the vendor's list, or lack a redemption. "
            "Collect the execution again; what still disagrees then is for an engineer."
        )


def _where(found: Reconciled) -> str:
    named = found.owed + found.uncertain + found.held
    rest = found.eligible - found.active - named
    parts = [
        f"{count:,} {name}"
        for count, name in (
            (found.owed, "owed"),
            (found.uncertain, "uncertain"),
            (found.held, "held"),
            (rest, "void"),
        )
        if count > 0
    ]
    return ", ".join(parts)


@admin.register(Breaker)
class BreakerAdmin(ReadOnlyAdmin[Breaker]):
    """Whether each far side may be called."""

    list_display = ("side", "status", "opened", "problem", "next_time", "failures")
    fields = ("side", "status", "opened", "next_time", "failures", "problem")
    attention = (
        Attention(
            "open",
            "Breakers are open: a far side is not called",
            # A rest of some seconds, which a busy platform asks for, needs nobody.
            lambda: Q(opened_at__lte=after(-_A_WHILE)),
        ),
    )
    opened = when("opened_at")
    next_time = when("open_until", "next call at")

    @admin.display(description="state")
    def status(self, row: Breaker) -> SafeString:
        if row.opened_at is None:
            return stamp("good", "✓", "Closed: calls are made")
        return stamp("held", "!", "Open: no calls are made")

    def marks(self, row: Breaker) -> list[SafeString]:
        return [self.status(row), since(row.opened_at)]


@admin.register(Allowance)
class AllowanceAdmin(ReadOnlyAdmin[Allowance]):
    """How many calls the vendor's key has left."""

    list_display = ("name", "lately", "paused", "refusals")
    fields = ("lately", "paused", "refusals")

    @admin.display(description="allowance")
    def name(self, row: Allowance) -> str:
        return "Calls to Optimove"

    @admin.display(description="calls lately")
    def lately(self, row: Allowance) -> str:
        begun = database_now() - WINDOW
        count = sum(at > begun for at in row.granted_at)
        most, seconds = int(Priority.PERSON), WINDOW / timedelta(seconds=1)
        return f"{count} of {most} in the last {seconds:g} seconds"

    @admin.display(description="the vendor said too many; wait until")
    def paused(self, row: Allowance) -> SafeString:
        return moment(row.not_before)

    def heading(self, row: Allowance) -> str:
        return "Calls to Optimove"
