"""What the vendor told us, and having it read again."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString

from executions import inbox
from executions.admin import replay_preview
from executions.models import Delivery, DeliveryState, Execution, Listener, Trigger
from promoportal.admin.actions import Action, each_row
from promoportal.admin.alerts import Alert
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import body, pretty, state_of
from promoportal.admin.links import link
from promoportal.admin.list_columns import when
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel
from promoportal.admin.related_filters import narrowed
from promoportal.admin.sensitive_fields import NOT_SHOWN, Reveal
from promoportal.admin.stateful_admin import StatefulAdmin
from promoportal.admin.timeline import Moment
from promoportal.db.database_clock import seconds_from_now

# A delivery that nobody read by then waits for a worker that is not there.
UNREAD_FOR = 60

# It may hold whatever Optimove knows of a customer.
_BODY = Reveal(
    Delivery,
    "executions.reveal_delivery",
    "Show its body",
    said=("shows its body", "show their bodies"),
    instead={"raw": "hidden_body"},
)


def _plan(rows: QuerySet[Delivery]) -> Iterable[Panel]:
    """What reading them again would do, one panel for each execution they name."""
    looked_at = rows.select_related("listener").order_by("pk")
    plan = replay_preview.foresee(
        list(looked_at[: replay_preview.MAX_DELIVERIES]), of=rows.count()
    )
    yield from map(_would, plan.foreseen)
    if plan.idle:
        yield Panel(
            "Nothing would follow from",
            columns=("Delivery", "Why"),
            rows=[(link(delivery), why) for delivery, why in plan.idle],
        )
    if plan.unseen:
        shown = f"Only the first {replay_preview.MAX_DELIVERIES} are looked at here"
        yield Panel("And more", sentences=[f"{shown}, and {plan.unseen:,} are not."])


def _would(foreseen: replay_preview.ReplayPreview) -> Panel:
    told = replay_preview.consequences(foreseen)
    count = len(foreseen.deliveries)
    return Panel(
        f"Execution {foreseen.occurrence}",
        facts=[fact for one in told for fact in one.facts],
        sentences=[
            *([f"{count:,} deliveries name it."] if count > 1 else []),
            *foreseen.sentences(),
            *(sentence for one in told for sentence in one.sentences),
        ],
    )


@admin.register(Delivery)
class DeliveryAdmin(StatefulAdmin[Delivery]):
    list_display = (
        "identity",
        "status",
        "listener_link",
        "received",
        "why",
        "execution_link",
        "attempts",
    )
    list_select_related = ("listener", "execution")
    list_filter = (
        "state",
        "reason",
        narrowed("execution", Execution),
        narrowed("listener", Listener),
        days("received_at", "days"),
    )
    finds = ("execution__reference",)
    indexed = ("execution", "listener", "state__exact", "reason__exact", "needs", "q")
    search_help_text = "An execution's id, in full"
    attention = (
        Alert(
            "held",
            "Deliveries are held",
            "Delivery is held",
            lambda: Q(state=DeliveryState.HELD),
            by_reason=True,
        ),
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
    reveal = _BODY
    deeds = (
        Action(
            "read_again",
            "Read again",
            "executions.reread_delivery",
            each_row(inbox.read_again, "it is still to be read"),
            said=("will be read again", "will be read again"),
            plan=_plan,
            fits=lambda row: row.state != DeliveryState.UNREAD,
        ),
        _BODY.deed,
    )
    fieldsets = (
        (None, {"fields": ("execution_link", "event", "problem_in_full")}),
        ("As it came", {"fields": ("received", "content_type", "sender", "raw")}),
        ("Work", {"fields": ("attempts",)}),
    )
    received = when("received_at")

    @admin.display(description="delivery")
    def identity(self, row: Delivery) -> str:
        return f"Delivery {row.pk}"

    @admin.display(description="listener")
    def listener_link(self, row: Delivery) -> SafeString:
        return link(row.listener, f"Event {row.listener.event_type}")

    @admin.display(description="listener")
    def event(self, row: Delivery) -> SafeString:
        return link(row.listener, str(row.listener.get_event_type_display()))

    @admin.display(description="execution")
    def execution_link(self, row: Delivery) -> SafeString:
        return link(row.execution, row.execution.reference if row.execution else "")

    @admin.display(description="how the sender was known")
    def sender(self, row: Delivery) -> SafeString:
        return pretty(row.verdict)

    @admin.display(description="body")
    def hidden_body(self, row: Delivery) -> str:
        return NOT_SHOWN

    @admin.display(description="body")
    def raw(self, row: Delivery) -> SafeString:
        return body(row.body)

    def story(self, row: Delivery) -> Iterable[Moment]:
        yield Moment(at=row.received_at, what="Received")
        yield from super().story(row)

    def panels(self, row: Delivery) -> Iterable[Panel]:
        triggers = Trigger.objects.filter(delivery=row)[:MAX_ROWS_SHOWN]
        shown = [
            (link(trigger, trigger.customer), state_of(trigger)) for trigger in triggers
        ]
        if shown:
            yield Panel(
                "The customer it announced", columns=("Customer", "State"), rows=shown
            )
