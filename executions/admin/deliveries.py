"""The admin pages of webhook deliveries, and the action that processes them again."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import Q, QuerySet

from executions import inbox
from executions.admin import replay_preview
from executions.models import Delivery, DeliveryState, Execution, Listener, Trigger
from promoportal.admin import list_columns
from promoportal.admin.actions import Action, Actions, each_row
from promoportal.admin.alerts import Alert, held
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import body, pretty, state_badge
from promoportal.admin.links import link
from promoportal.admin.list_columns import computed, link_to, numbered, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel, fieldset
from promoportal.admin.related_filters import narrowed
from promoportal.admin.search import Search
from promoportal.admin.sensitive_fields import Reveal, hidden
from promoportal.admin.timeline import Moment, transitions_of
from promoportal.db.database_clock import seconds_from_now

# Seconds after which a pending delivery is an alert: perhaps no worker runs.
UNREAD_FOR = 60

# The payload may contain all data that Optimove has about a customer.
_BODY = Reveal(
    Delivery,
    "executions.reveal_delivery",
    "Show payload",
    said=("shows its body", "show their bodies"),
    instead={"raw": hidden("body")},
)


def _plan(rows: QuerySet[Delivery]) -> Iterable[Panel]:
    """Yield panels with the effects of processing deliveries again, per execution."""
    oldest_first = rows.select_related("listener").order_by("pk")
    read = list(oldest_first[: replay_preview.MAX_DELIVERIES])
    previews, idle = replay_preview.foresee(read)
    yield from map(_effect, previews)
    if idle:
        yield Panel(
            "Nothing would follow from",
            columns=("Delivery", "Why"),
            rows=[(link(delivery), why) for delivery, why in idle],
        )
    if unseen := rows.count() - len(read):
        shown = f"Only the first {replay_preview.MAX_DELIVERIES} are looked at here"
        yield Panel("And more", sentences=[f"{shown}, and {unseen:,} are not."])


def _effect(preview: replay_preview.ReplayPreview) -> Panel:
    effects = replay_preview.consequences(preview)
    count = len(preview.deliveries)
    return Panel(
        f"Execution {preview.occurrence}",
        facts=[fact for effect in effects for fact in effect.facts],
        sentences=[
            *([f"{count:,} deliveries name it."] if count > 1 else []),
            *preview.sentences(),
            *(sentence for effect in effects for sentence in effect.sentences),
        ],
    )


@admin.register(Delivery)
class DeliveryAdmin(PortalAdmin):
    list_display = (
        *("identity", state_badge, "listener_link", "received"),
        *(list_columns.reason_and_problem, "execution_link", "attempts"),
    )
    list_select_related = ("listener", "execution")
    list_filter = (
        "state",
        "reason",
        narrowed("execution", Execution),
        narrowed("listener", Listener),
        days("received_at", "days"),
    )
    search = Search(exact=("execution__reference",))
    served_by_index = (
        *("execution", "listener", "state__exact", "reason__exact", "needs", "q"),
    )
    search_help_text = "An execution's id, in full"
    alerts = (
        held("Deliveries are held", "Delivery is held"),
        Alert(
            "unread",
            "Deliveries wait for a worker to read them",
            "Delivery waits for a worker to read it",
            lambda: Q(
                state=DeliveryState.UNREAD,
                received_at__lt=seconds_from_now(-UNREAD_FOR),
            ),
        ),
    )
    sensitive = _BODY
    offered = Actions(
        (
            Action(
                "read_again",
                "Process again",
                "executions.reread_delivery",
                each_row(inbox.read_again, "it is still to be read"),
                said=("will be read again", "will be read again"),
                plan=_plan,
                fits=lambda row: row.state != DeliveryState.UNREAD,
            ),
            _BODY.action,
        )
    )
    fieldsets = (
        fieldset(None, "execution_link", "event", list_columns.problem_in_full),
        fieldset("As it came", "received", "content_type", "sender", "raw"),
        fieldset("Work", "attempts"),
    )
    identity = numbered("delivery")
    received = when("received_at")
    execution_link = link_to("execution")
    listener_link = computed(
        "listener", lambda row: link(row.listener, f"Event {row.listener.event_type}")
    )
    event = computed(
        "listener",
        lambda row: link(row.listener, row.listener.get_event_type_display()),
    )
    sender = computed("how the sender was known", lambda row: pretty(row.verdict))
    raw = computed("body", lambda row: body(row.body))

    def timeline(self, row: Delivery) -> Iterable[Moment]:
        yield Moment(at=row.received_at, what="Received")
        yield from transitions_of(row)

    def panels(self, row: Delivery) -> Iterable[Panel]:
        triggers = Trigger.objects.filter(delivery=row)[:MAX_ROWS_SHOWN]
        shown = [(link(one, one.customer), state_badge(one)) for one in triggers]
        if shown:
            yield Panel(
                "The customer it announced", columns=("Customer", "State"), rows=shown
            )
