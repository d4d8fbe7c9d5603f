"""
Promises of the platform under which rewards were sent, and whether they still apply.

The settings of the platform may change while outcomes are unknown. In a rolling restart,
two processes even have different settings at the same time. So each attempt records the
address, and how the platform handles keys. A reward may be sent again only to the same
address, and only if each possible attempt was sent under the promise to remember its
key. "Not found" counts only at the same address, and only if the platform could be asked
when the reward was sent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Greatest, Now
from django.db.models.lookups import LessThanOrEqual

from promoportal.platforms import Capability
from rewards.models import Assignment, Attempt

Outcome = Attempt.Outcome

# Attempts that had no effect. A gateway may respond with 5xx although the platform
# activated the reward.
_NO_EFFECT = Q(
    outcome__in=[Outcome.NOT_SENT, Outcome.REFUSED, Outcome.MISCONFIGURED]
) | Q(Q(status=None) | Q(status__lt=500), outcome=Outcome.UNAVAILABLE)
# The previous release recorded no address. Its attempts count as sent to the platform of
# the current settings: otherwise, staff would have to decide about each unknown outcome
# after an upgrade.
_RECORDED = ~Q(address="")


def recorded(capability: Capability) -> dict[str, Any]:
    """Return the columns of an attempt that is made with this capability."""
    return {
        "address": _address(capability),
        "remembers_for": capability.remembers_for if capability.idempotent else None,
        "settle_grace": capability.settle_grace if capability.askable else None,
    }


def remembered(capability: Capability, *, seconds: float) -> Q:
    """
    Return a filter for rewards whose key this platform promised to remember.

    Each attempt that may have had an effect was sent to the same address, under the
    promise to remember the key for `seconds` from now on or longer.
    """
    forgotten = LessThanOrEqual(
        OuterRef("first_sent_at") + F("remembers_for"),
        Now() + timedelta(seconds=seconds),
    )
    possible = _possible(OuterRef("pk"), OuterRef("first_sent_at"))
    elsewhere = ~Q(address=_address(capability))
    broken = possible.filter(elsewhere | Q(remembers_for=None) | Q(forgotten))
    return ~Q(Exists(broken))


def obstacle_to_repeat(row: Assignment, capability: Capability) -> str:
    """Return why the reward must not be sent again with its key, or ""."""
    for attempt in _attempts(row):
        if problem := _elsewhere(attempt, capability):
            return problem
        if attempt.remembers_for is None:
            return (
                "When it was sent, PLATFORM_CAPABILITY did not include idempotent: the "
                "platform may not know its key."
            )
    return "When it was sent, PLATFORM_CAPABILITY had a shorter remembers_for."


def obstacle_to_not_found(row: Assignment, capability: Capability) -> str:
    """Return why "not found" does not prove that it was not activated, or ""."""
    for attempt in _attempts(row):
        if problem := _elsewhere(attempt, capability):
            return problem
        if attempt.settle_grace is None:
            return (
                "When it was sent, PLATFORM_CAPABILITY did not include askable: the "
                "platform does not know it, but may have activated it."
            )
    return ""


def settle_grace(row: Assignment, capability: Capability) -> timedelta:
    """Return the longest `settle_grace` that applied since the reward was first sent."""
    found = Assignment.objects.filter(pk=row.pk)
    longest: timedelta = found.values_list(longest_settle_grace(capability)).get()[0]
    return longest


def longest_settle_grace(capability: Capability) -> Greatest:
    """Return the longest `settle_grace` of rows as an expression: see `settle_grace`."""
    since = Coalesce(OuterRef("first_sent_at"), OuterRef("created_at"))
    graces = _possible(OuterRef("pk"), since).order_by(F("settle_grace").desc())
    known = graces.exclude(settle_grace=None).values("settle_grace")[:1]
    # GREATEST ignores NULL: the row may have no recorded attempt.
    return Greatest(Subquery(known), Value(capability.settle_grace))


def _attempts(row: Assignment) -> QuerySet[Attempt]:
    return _possible(row.pk, row.first_sent_at or row.created_at).order_by("number")


def _possible(row: Any, since: Any) -> QuerySet[Attempt]:
    """Return the recorded attempts since this time that may have had an effect."""
    return Attempt.objects.filter(
        _RECORDED, assignment=row, kind=Attempt.Kind.ACTIVATE, begun_at__gte=since
    ).exclude(_NO_EFFECT)


def _elsewhere(attempt: Attempt, capability: Capability) -> str:
    here = _address(capability)
    if attempt.address == here:
        return ""
    return (
        f"It was sent to {attempt.address}, and the platform is {here} now: check the "
        "records of the platform that it was sent to."
    )


def _address(capability: Capability) -> str:
    # An adapter without an address is at least told from other adapters.
    return capability.address or str(settings.PLATFORM_ADAPTER)
