"""The admin pages of listeners, the webhook endpoints registered with Optimove."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from executions.models import Delivery, Listener
from promoportal.admin.alerts import Alert
from promoportal.admin.formatting import moment, since, stamp, state_badge
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import computed, numbered, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel, fieldset
from promoportal.admin.querysets import without_bodies


def _badge(row: Listener) -> SafeString:
    if row.closed_at:
        return stamp("over", "◌", "Closed")
    return stamp("good", "✓", "Open")


def _header(row: Listener) -> str:
    if not row.header_name:
        return "None is asked for."
    return f"{row.header_name}, with a secret that is not kept."


@admin.register(Listener)
class ListenerAdmin(PortalAdmin):
    """Pages of listeners, without the digests: the secrets protect the listener."""

    list_display = (
        *("identity", "event_type", "channel", "state_badge", "heard", "opened"),
        "registered",
    )
    alerts = (
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
        fieldset(None, "event_type", "every_channel", "header", "from_where"),
        fieldset("Dates", "heard", "opened", "registered", "closed"),
    )
    identity = numbered("listener")
    state_badge = computed("state", _badge)
    every_channel = computed(
        "channel", lambda row: str(row.channel or "Every channel.")
    )
    header = computed("header", _header)
    from_where = computed("networks", lambda row: ", ".join(row.networks) or "Any.")
    heard = computed("last heard", lambda row: since(row.last_heard_at))
    opened = when("opened_at")
    registered = when("registered_at")
    closed = when("closed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listener]:
        return Listener.objects.with_last_heard()

    def heading_badges(self, row: Listener) -> list[SafeString]:
        return [_badge(row)]

    def panels(self, row: Listener) -> Iterable[Panel]:
        yield _deliveries(row)


def _deliveries(row: Listener) -> Panel:
    rows = Delivery.objects.filter(listener=row).order_by("-pk")
    return Panel(
        "The latest deliveries",
        columns=("Delivery", "State", "Received"),
        rows=[
            (link(one), state_badge(one), moment(one.received_at))
            for one in without_bodies(rows)[:MAX_ROWS_SHOWN]
        ],
        more=[("All deliveries", list_of(Delivery, listener=row.pk))],
    )
