"""Assignments narrowed to a tier, among those of an execution or of a campaign."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db import connection
from django.db.models import QuerySet
from django.db.models.lookups import Exact
from django.http import HttpRequest

from executions.admin.campaign_filter import MAX_EXECUTIONS, newest_of
from rewards.models import TIER, Assignment

# So many different ones of an execution are offered.
MAX_TIERS = 30


class OfTier(SimpleListFilter):
    """
    A tier's name means something within a campaign, and only there does an index find it.
    """

    title = parameter_name = "tier"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        self.executions = _executions(request)
        return [(name, name) for name in _tiers(self.executions)]

    @property
    def hint(self) -> str:
        if self.executions:
            return "" if self.lookup_choices else "None of them has a tier."
        return "Narrow the list to an execution or a campaign first."

    def has_output(self) -> bool:
        return True

    def misread(self) -> Iterator[str]:
        value = self.value()
        if value is None:
            return
        if not self.executions:
            yield (
                "A tier is looked for within an execution or a campaign: narrow the "
                "list to one of these first."
            )
        elif value not in dict(self.lookup_choices):
            yield f"None of them has the tier “{value}”."

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Assignment]
    ) -> QuerySet[Assignment]:
        value = self.value()
        return queryset if value is None else queryset.filter(Exact(TIER, value))


def _executions(request: HttpRequest) -> list[int]:
    """Those that the list is narrowed to; none if it is narrowed to none, or to many."""
    said = {name: request.GET.get(name, "")[:18] for name in ("execution", "campaign")}
    keys = {name: int(key) for name, key in said.items() if key.isdecimal()}
    if "execution" in keys:
        return [keys["execution"]]
    return newest_of(keys["campaign"])[:MAX_EXECUTIONS] if "campaign" in keys else []


# From one name to the next, so that those many who have the same are not read.
_NAMES = """
    WITH RECURSIVE named (execution, name, place) AS (
        SELECT one, (
            SELECT reward ->> 'tier' FROM "rewards_assignment"
            WHERE execution_id = one AND reward ->> 'tier' IS NOT NULL
            ORDER BY reward ->> 'tier' LIMIT 1
        ), 1 FROM unnest(%(executions)s::bigint[]) AS one
        UNION ALL
        SELECT execution, (
            SELECT reward ->> 'tier' FROM "rewards_assignment"
            WHERE execution_id = execution AND reward ->> 'tier' > name
            ORDER BY reward ->> 'tier' LIMIT 1
        ), place + 1 FROM named WHERE name IS NOT NULL AND place < %(most)s
    )
    SELECT DISTINCT name FROM named WHERE name IS NOT NULL ORDER BY name LIMIT %(most)s
"""


def _tiers(executions: list[int]) -> list[str]:
    if not executions:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, {"executions": executions, "most": MAX_TIERS})
        return [name for (name,) in cursor.fetchall()]
