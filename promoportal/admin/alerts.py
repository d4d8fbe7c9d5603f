"""Alerts about rows: counts on the overview, and filters of lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Model, Q

from promoportal.admin.keyset_order import order_of
from promoportal.admin.keyset_pagination import MAX_ROWS_COUNTED
from promoportal.admin.links import list_of
from promoportal.admin.related_filters import LookupFilter, narrowed_by

PARAMETER = "needs"


@dataclass(frozen=True)
class Alert:
    """A condition for rows that need review, or that are not processed in time."""

    name: str
    label: str
    # The label for one row.
    one: str
    where: Callable[[], Q]
    by_reason: bool = False
    # Returns the number of rows by reason, from the state counts.
    known: Callable[[], Mapping[str, int]] | None = None


def held(
    label: str,
    one: str,
    *,
    field: str = "state",
    known: Callable[[], Mapping[str, int]] | None = None,
) -> Alert:
    """Return the alert for rows in `HELD`, with a count for each reason."""
    return Alert("held", label, one, lambda: Q(**{field: "HELD"}), True, known)


@dataclass(frozen=True)
class Figure:
    """A number of rows, and the address of their list."""

    label: str
    number: str
    href: str
    reasons: Sequence[Figure] = ()


def alert_filter(alerts: Sequence[Alert]) -> type[LookupFilter]:
    """Return the filter of a list by the alerts of its model."""
    conditions = {each.name: (each.label, each.where()) for each in alerts}
    return narrowed_by(PARAMETER, "what needs a person", conditions)


def figures(model_admin: ModelAdmin[Any]) -> Iterator[Figure]:
    """Yield a figure for each alert of the model that has rows."""
    for alert in getattr(model_admin, "alerts", ()):
        if figure := _figure(model_admin, alert):
            yield figure


def _figure(model_admin: ModelAdmin[Any], alert: Alert) -> Figure | None:
    model, query = model_admin.model, {PARAMETER: alert.name}
    is_known = alert.known is not None
    counts = Counter(alert.known()) if alert.known else _counted(model_admin, alert)
    total = counts.total()
    if not total:
        return None
    labels = _labels(model) if alert.by_reason else {}
    reasons = [
        Figure(
            labels.get(reason, reason),
            _number(count, is_known=is_known),
            list_of(model, **query, reason__exact=reason),
        )
        for reason, count in counts.most_common()
        if reason
    ]
    number = _number(total, is_known=is_known)
    label = alert.one if total == 1 else alert.label
    return Figure(label, number, list_of(model, **query), reasons)


def _counted(model_admin: ModelAdmin[Any], alert: Alert) -> Counter[str]:
    """
    Count the rows of an alert by reason, up to `MAX_ROWS_COUNTED`.

    The order of the list makes PostgreSQL use the index of the list.
    """
    rows = model_admin.model._base_manager.filter(alert.where())
    ordered = order_of(model_admin, {PARAMETER: alert.name}).newest(rows)
    column = "reason" if alert.by_reason else "pk"
    limited = ordered.values_list(column, flat=True)[: MAX_ROWS_COUNTED + 1]
    return Counter(limited) if alert.by_reason else Counter({"": limited.count()})


def _labels(model: type[Model]) -> dict[Any, str]:
    field: Any = model._meta.get_field("reason")
    return dict(field.flatchoices)


def _number(count: int, *, is_known: bool) -> str:
    if count > MAX_ROWS_COUNTED and not is_known:
        return f"over {MAX_ROWS_COUNTED:,}"
    return f"{count:,}"
