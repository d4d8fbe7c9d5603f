"""What needs a person: said once for each list, shown as numbers on the first page."""

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
    """Rows that nothing will happen to until a person looks, or not soon enough."""

    name: str
    label: str
    # The same of one row.
    one: str
    where: Callable[[], Q]
    by_reason: bool = False
    # How many there are for each reason, where that need not be counted.
    known: Callable[[], Mapping[str, int]] | None = None


def held(
    label: str,
    one: str,
    *,
    field: str = "state",
    known: Callable[[], Mapping[str, int]] | None = None,
) -> Alert:
    """Return the alert for rows that wait for a decision of staff, by their reasons."""
    return Alert("held", label, one, lambda: Q(**{field: "HELD"}), True, known)


@dataclass(frozen=True)
class Figure:
    """A number, and the list that it counts."""

    label: str
    number: str
    href: str
    reasons: Sequence[Figure] = ()


def alert_filter(alerts: Sequence[Alert]) -> type[LookupFilter]:
    """Return the filter by the rows that the front page counts."""
    conditions = {each.name: (each.label, each.where()) for each in alerts}
    return narrowed_by(PARAMETER, "what needs a person", conditions)


def alerts_of(model_admin: ModelAdmin[Any]) -> Sequence[Alert]:
    return getattr(model_admin, "alerts", ())


def figures(model_admin: ModelAdmin[Any]) -> Iterator[Figure]:
    """One number for each kind that has rows, each with its list."""
    for kind in alerts_of(model_admin):
        figure = _figure(model_admin, kind)
        if figure:
            yield figure


def _figure(model_admin: ModelAdmin[Any], kind: Alert) -> Figure | None:
    model, here = model_admin.model, {PARAMETER: kind.name}
    is_known = kind.known is not None
    counts = Counter(kind.known()) if kind.known else _counted(model_admin, kind)
    total = counts.total()
    if not total:
        return None
    labels = _labels(model) if kind.by_reason else {}
    reasons = [
        Figure(
            labels.get(reason, reason),
            _number(count, is_known=is_known),
            list_of(model, **here, reason__exact=reason),
        )
        for reason, count in counts.most_common()
        if reason
    ]
    number = _number(total, is_known=is_known)
    label = kind.one if total == 1 else kind.label
    return Figure(label, number, list_of(model, **here), reasons)


def _counted(model_admin: ModelAdmin[Any], kind: Alert) -> Counter[str]:
    """
    Only so far: a campaign can be held a million times over. In the order of the list,
    so that the index is used that serves it.
    """
    rows = model_admin.model._base_manager.filter(kind.where())
    ordered = order_of(model_admin, {PARAMETER: kind.name}).newest(rows)
    column = "reason" if kind.by_reason else "pk"
    some = ordered.values_list(column, flat=True)[: MAX_ROWS_COUNTED + 1]
    return Counter(some) if kind.by_reason else Counter({"": some.count()})


def _labels(model: type[Model]) -> dict[Any, str]:
    field: Any = model._meta.get_field("reason")
    return dict(field.flatchoices)


def _number(count: int, *, is_known: bool) -> str:
    if count > MAX_ROWS_COUNTED and not is_known:
        return f"over {MAX_ROWS_COUNTED:,}"
    return f"{count:,}"
