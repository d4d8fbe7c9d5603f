"""The filter of assignments by tier, within an execution or a campaign."""

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

# Most tiers that the filter offers.
MAX_TIERS = 30


class OfTier(SimpleListFilter):
    """A filter by tier within executions, because the index begins with these."""

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
    """Return the keys of the executions by which the list is filtered, or []."""
    given = {name: request.GET.get(name, "")[:18] for name in ("execution", "campaign")}
    keys = {name: int(key) for name, key in given.items() if key.isdecimal()}
    if "execution" in keys:
        return [keys["execution"]]
    return newest_of(keys["campaign"])[:MAX_EXECUTIONS] if "campaign" in keys else []


# Find the next name in the index, without reading all rows that have the same name.
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
