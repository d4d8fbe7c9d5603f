"""The filter of a list by the campaign of its executions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from executions.models import Campaign, Execution
from promoportal.admin.related_filters import RelatedRowFilter

# A page reads some rows of each execution. A daily campaign has 56 in eight weeks.
MAX_EXECUTIONS = 56


class OfCampaign(RelatedRowFilter):
    """A filter by the newest executions of a campaign. An index serves each of them."""

    title = parameter_name = "campaign"
    model = Campaign
    executions: Sequence[int] = ()
    is_more = False

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        found = super().lookups(request, model_admin)
        if self.row:
            newest = newest_of(self.row.pk)
            self.executions = newest[:MAX_EXECUTIONS]
            self.is_more = len(newest) > MAX_EXECUTIONS
        return found

    @property
    def parts(self) -> list[Q]:
        return [Q(execution=execution) for execution in self.executions]

    def notes(self) -> Iterator[str]:
        """Yield a note if the list lacks older executions of the campaign."""
        if self.is_more:
            yield (
                f"These are of the campaign's newest {MAX_EXECUTIONS} executions. For "
                "an older one, open the execution and follow its links."
            )

    def _filtered(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(execution__in=self.executions)


def newest_of(campaign: Any) -> list[int]:
    """Return the keys of the newest executions, up to `MAX_EXECUTIONS` + 1."""
    rows = Execution.objects.filter(campaign=campaign).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[: MAX_EXECUTIONS + 1])
