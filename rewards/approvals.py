"""
Second approvals for possibly activated rewards of a high value.

Staff decide whether such a reward was activated. After a wrong decision, the customer
gets the reward twice or never. So if the value is above a limit, the first decision is
only stored. The decision takes effect when a second user makes the same decision about
the same version of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet

from promoportal.db import row_versions
from promoportal.db.bulk_result import SkipKind, SkipReason
from promoportal.runtime import environment
from rewards.models import Assignment, Proposal

Says = Proposal.Says
_KEPT = "your word is kept: at its value it takes a second person"
_amounts = cache(environment.amounts)


def alone_up_to() -> Mapping[str, Decimal]:
    """
    Return, for each unit, the highest value of a reward that needs only one approval.

    A reward in another unit, or without a value, never needs a second approval.

    :raises ImproperlyConfigured: with the name of the setting and the reason
    """
    return _amounts("DECIDE_ALONE_UP_TO", tuple(settings.DECIDE_ALONE_UP_TO))


def needs_second_approval(row: Assignment) -> bool:
    most = alone_up_to().get(row.unit.casefold())
    return most is not None and row.value is not None and row.value > most


def approve(
    row: Assignment, says: Proposal.Says, *, by: Any, why: str
) -> str | SkipReason:
    """
    Store the first user's decision, or compare the second user's decision with it.

    If the decision takes effect, return the text to record: the reasons of all users
    who decided. Otherwise, return a `SkipReason`. The caller must have locked the row.
    """
    proposals = open_proposals().filter(assignment=row)
    if not needs_second_approval(row):
        proposals.delete()
        return why
    if by is None:
        return _waits("it takes two persons, and nobody is named")
    first = proposals.select_related("by").first()
    if first and not is_about(first, row):
        _propose(row, None, says, by=by, why=why)
        return _waits(f"it changed since {first.by} decided: {_KEPT}")
    if first is None or first.by_id == by.pk:
        return _propose(row, first, says, by=by, why=why)
    first.delete()
    if first.says != says:
        return _waits(
            f"{first.by} said the opposite: neither counts, talk to each other"
        )
    return f"{first.by}: {first.why} Seconded: {why}"


def open_proposals() -> QuerySet[Proposal]:
    """Return proposals for `doubtful` rows, made since the row's last state change."""
    return Proposal.objects.filter(
        assignment__doubtful=True, at__gte=F("assignment__state_since")
    )


def is_about(proposal: Proposal, row: Assignment) -> bool:
    """Return whether the row is still what the first user decided about."""
    return proposal.version == _version(row)


def _version(row: Assignment) -> str:
    # Without the part about the request: "activated" stays true when it cannot arrive
    # any more, and the second user looks into the platform's records again.
    return row_versions.only(row_versions.version(row), ["row"])


def said_by(row: Assignment, person: Any) -> str:
    """Return this user's decision that waits for a second approval, or ""."""
    if not needs_second_approval(row):
        return ""
    proposal = open_proposals().filter(assignment=row, by=person).first()
    return proposal.says if proposal and is_about(proposal, row) else ""


def _propose(
    row: Assignment, first: Proposal | None, says: Proposal.Says, *, by: Any, why: str
) -> SkipReason:
    if first and first.says == says:
        return _waits("you said so already: it takes a second person")
    Proposal.objects.filter(assignment=row).delete()
    version = _version(row)
    Proposal.objects.create(assignment=row, says=says, by=by, why=why, version=version)
    return _waits(_KEPT)


def _waits(sentence: str) -> SkipReason:
    return SkipReason(SkipKind.NEEDS_SECOND_PERSON, sentence)
