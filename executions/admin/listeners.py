"""Where the vendor is heard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from executions.models import Delivery, Listener
from promoportal.admin.alerts import Alert
from promoportal.admin.formatting import moment, since, stamp, state_of
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import when
from promoportal.admin.model_admin import ReadOnlyAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel
from promoportal.admin.querysets import without_bodies

OPEN = ("good", "✓", "Open")
CLOSED = ("over", "◌", "Closed")


@admin.register(Listener)
class ListenerAdmin(ReadOnlyAdmin[Listener]):
    """Never the digests: what they are made from is the only key to our door."""

    list_display = (
        "identity",
        "event_type",
        "channel",
        "status",
        "heard",
        "opened",
        "registered",
    )
    attention = (
        Alert(
            "silent",
            "Listeners have heard nothing for unusually long",
            "Listener has heard nothing for unusually long",
            lambda: Q(
                pk__in=Listener.objects.silent(
                    settings.LISTENER_SILENT_AFTER_HOURS
                ).values("pk")
            ),
        ),
    )
    list_filter = ("event_type", ("closed_at", admin.EmptyFieldListFilter))
    fieldsets = (
        (None, {"fields": ("event_type", "every_channel", "header", "from_where")}),
        ("Dates", {"fields": ("heard", "opened", "registered", "closed")}),
    )
    opened = when("opened_at")
    registered = when("registered_at")
    closed = when("closed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listener]:
        return Listener.objects.with_last_heard()

    @admin.display(description="last heard")
    def heard(self, row: Any) -> SafeString:
        return since(row.last_heard_at)

    @admin.display(description="listener")
    def identity(self, row: Listener) -> str:
        return f"Listener {row.pk}"

    @admin.display(description="state")
    def status(self, row: Listener) -> SafeString:
        return stamp(*(CLOSED if row.closed_at else OPEN))

    @admin.display(description="channel")
    def every_channel(self, row: Listener) -> str:
        return str(row.channel) if row.channel else "Every channel."

    @admin.display(description="header")
    def header(self, row: Listener) -> str:
        if not row.header_name:
            return "None is asked for."
        return f"{row.header_name}, with a secret that is not kept."

    @admin.display(description="networks")
    def from_where(self, row: Listener) -> str:
        return ", ".join(row.networks) or "Any."

    def marks(self, row: Listener) -> list[SafeString]:
        return [self.status(row)]

    def panels(self, row: Listener) -> Iterable[Panel]:
        yield _deliveries(row)


def _deliveries(row: Listener) -> Panel:
    rows = Delivery.objects.filter(listener=row).order_by("-pk")
    return Panel(
        "The latest deliveries",
        columns=("Delivery", "State", "Received"),
        rows=[
            (link(one), state_of(one), moment(one.received_at))
            for one in without_bodies(rows)[:MAX_ROWS_SHOWN]
        ],
        more=[("All deliveries", list_of(Delivery, listener=row.pk))],
    )
