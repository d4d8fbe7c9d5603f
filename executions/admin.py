"""What the vendor told us, to look at and to have read, collected or stopped again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import announcing, reading, replaying, stopping
from executions.models import (
    Asking,
    Campaign,
    Delivery,
    Execution,
    Kind,
    Listener,
    Progress,
    Reading,
    Stop,
    Trigger,
)
from promoportal.admin.attention import Attention
from promoportal.admin.days import days
from promoportal.admin.deeds import Deed, Done, without_bodies
from promoportal.admin.narrowing import narrowed
from promoportal.admin.pages import Moment, Panel
from promoportal.admin.rows import ReadOnlyAdmin, StatefulAdmin, when
from promoportal.admin.showing import (
    badge,
    body,
    link,
    list_of,
    moment,
    pretty,
    since,
    stamp,
)
from promoportal.leases import after
from promoportal.states import IllegalMove, LostRace

# A delivery that nobody read by then waits for a worker that is not there.
UNREAD_FOR = 60
# So many deliveries are shown on the page of what they announced.
MOST_SHOWN = 10


def one_by_one(
    rows: QuerySet[Any],
    act: Callable[..., Any],
    refused: Callable[[Any], str],
    **how: Any,
) -> Done:
    """Do it to each row; those that may not go there stay, and `refused` says why."""
    done = Done()
    for row in rows.order_by("pk"):
        try:
            act(row, **how)
        except IllegalMove:
            done.skipped[refused(row)] += 1
        except LostRace:
            done.skipped["it moved on meanwhile"] += 1
        else:
            done.done += 1
    return done


# --- Delivery -------------------------------------------------------------------------


def _read_again(rows: QuerySet[Delivery], by: Any, why: str) -> Done:
    return one_by_one(
        without_bodies(rows),
        reading.read_again,
        lambda _: "it is still to be read",
        by=by,
        why=why,
    )


def _plan(rows: QuerySet[Delivery]) -> Iterable[Panel]:
    """What reading them again would do, one panel for each execution they name."""
    looked_at = rows.select_related("listener").order_by("pk")
    plan = replaying.foresee(
        list(looked_at[: replaying.MOST_FORESEEN]), of=rows.count()
    )
    yield from map(_would, plan.foreseen)
    if plan.idle:
        yield Panel(
            "Nothing would follow from",
            columns=("Delivery", "Why"),
            rows=[(link(delivery), why) for delivery, why in plan.idle],
        )
    if plan.unseen:
        shown = f"Only the first {replaying.MOST_FORESEEN} are looked at here"
        yield Panel("And more", sentences=[f"{shown}, and {plan.unseen:,} are not."])


def _would(foreseen: replaying.Foreseen) -> Panel:
    told = replaying.consequences(foreseen)
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
        "listener_link",
        "status",
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
    labels = dict(Reading.choices)
    attention = (
        Attention(
            "held", "Deliveries are held", lambda: Q(state=Reading.HELD), by_reason=True
        ),
        Attention(
            "unread",
            "Deliveries wait for a worker to read them",
            lambda: Q(state=Reading.UNREAD, received_at__lt=after(-UNREAD_FOR)),
        ),
    )
    deeds = (
        Deed(
            "read_again",
            "Read again",
            "executions.reread_delivery",
            _read_again,
            said=("will be read again", "will be read again"),
            plan=_plan,
            fits=lambda row: row.state != Reading.UNREAD,
        ),
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
    def raw(self, row: Delivery) -> SafeString:
        return body(row.body)

    def story(self, row: Delivery) -> Iterable[Moment]:
        yield Moment(at=row.received_at, what="Received")
        yield from super().story(row)

    def panels(self, row: Delivery) -> Iterable[Panel]:
        triggers = Trigger.objects.filter(delivery=row)[:MOST_SHOWN]
        shown = [
            (link(trigger, trigger.customer), _state(trigger)) for trigger in triggers
        ]
        if shown:
            yield Panel(
                "The customer it announced", columns=("Customer", "State"), rows=shown
            )


# --- Listener -------------------------------------------------------------------------


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
        Attention(
            "silent",
            "Listeners have heard nothing for unusually long",
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
        return stamp("over", "◌", "Closed") if row.closed_at else _open()

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
        yield _deliveries(row, listener=row)


# --- Campaign -------------------------------------------------------------------------


@admin.register(Campaign)
class CampaignAdmin(ReadOnlyAdmin[Campaign]):
    list_display = ("reference", "first_seen")
    finds = ("reference",)
    search_help_text = "A campaign's id, in full"
    fields = ("reference", "first_seen")
    first_seen = when("first_seen_at", "first seen")

    def panels(self, row: Campaign) -> Iterable[Panel]:
        latest = Execution.objects.filter(campaign=row).order_by("-pk")[:MOST_SHOWN]
        shown = [
            (link(run, run.reference), _state(run), moment(run.opened_at))
            for run in latest
        ]
        more = [
            ("All executions of this campaign", list_of(Execution, campaign=row.pk))
        ]
        yield Panel(
            "The latest executions",
            columns=("Execution", "Progress", "Opened"),
            rows=shown,
            more=more,
        )


# --- Execution ------------------------------------------------------------------------


def _open_again(rows: QuerySet[Execution], by: Any, why: str) -> Done:
    done = Done()
    for row in rows.order_by("pk"):
        if row.stop == Stop.CANCELLED:
            done.skipped["it is cancelled"] += 1
        else:
            announcing.announce(row.reference, kind=Kind(row.kind), by=by, why=why)
            done.done += 1
    return done


def _stopping(
    act: Callable[..., Any],
) -> Callable[[QuerySet[Execution], Any, str], Done]:
    def stop(rows: QuerySet[Execution], by: Any, why: str) -> Done:
        return one_by_one(rows, act, _stands, by=by, why=why)

    return stop


def _stands(row: Execution) -> str:
    return f"it is {str(row.get_stop_display()).lower()}"


def _is(*stops: Stop) -> Callable[[Execution], bool]:
    return lambda row: row.stop in stops


@admin.register(Execution)
class ExecutionAdmin(StatefulAdmin[Execution]):
    list_display = (
        "reference",
        "campaign_link",
        "kind",
        "standing",
        "since",
        "why",
        "opened",
    )
    list_select_related = ("campaign",)
    list_filter = (
        "state",
        "stop",
        "reason",
        "kind",
        narrowed("campaign", Campaign),
        days("opened_at", "days"),
    )
    finds = ("reference", "campaign__reference")
    search_help_text = "An execution's or a campaign's id, in full"
    labels = {**dict(Progress.choices), **dict(Stop.choices)}
    attention = (
        Attention(
            "held", "Executions are held", lambda: Q(stop=Stop.HELD), by_reason=True
        ),
    )
    deeds = (
        Deed(
            "open",
            "Collect again",
            "executions.open_execution",
            _open_again,
            said=("will be collected again", "will be collected again"),
            fits=_is(Stop.NONE, Stop.PAUSED, Stop.HELD),
        ),
        Deed(
            "pause",
            "Pause",
            "executions.stop_execution",
            _stopping(stopping.pause),
            said=("is paused", "are paused"),
            fits=_is(Stop.NONE),
        ),
        Deed(
            "resume",
            "Resume",
            "executions.stop_execution",
            _stopping(stopping.resume),
            said=("runs again", "run again"),
            fits=_is(Stop.HELD, Stop.PAUSED),
        ),
        Deed(
            "cancel",
            "Cancel",
            "executions.stop_execution",
            _stopping(stopping.cancel),
            said=("is cancelled", "are cancelled"),
            warning="Nothing more of it will be given, for good: what is owed or held "
            "becomes void, and a later notice does not open it again. What customers "
            "have already, they keep; what is in doubt is still settled.",
            fits=_is(Stop.NONE, Stop.PAUSED, Stop.HELD),
        ),
    )
    fieldsets = (
        (None, {"fields": ("campaign_link", "kind", "opened", "problem_in_full")}),
    )
    opened = when("opened_at")

    @admin.display(description="campaign")
    def campaign_link(self, row: Execution) -> SafeString:
        return link(row.campaign, row.campaign.reference if row.campaign else "")

    @admin.display(description="state")
    def standing(self, row: Execution) -> SafeString:
        """How far it is, and what stops it."""
        return format_html("{} {}", self.status(row), self.stopped(row))

    def version(self, row: Execution) -> str:
        """It moves by itself all the time; what stops it is what people decide about."""
        return row.stop

    def stands(self, row: Execution) -> str:
        return str(row.get_stop_display())

    def stopped(self, row: Execution) -> SafeString:
        if row.stop == Stop.NONE:
            return SafeString("")
        return badge(row.stop, str(row.get_stop_display()))

    def marks(self, row: Execution) -> list[SafeString]:
        return [*super().marks(row), self.stopped(row)]

    def story(self, row: Execution) -> Iterable[Moment]:
        yield Moment(at=row.opened_at, what="Opened")
        yield from super().story(row)

    def panels(self, row: Execution) -> Iterable[Panel]:
        yield _notices(row)
        if row.kind == Kind.TRIGGERED:
            yield _triggers(row)


def _notices(row: Execution) -> Panel:
    """What the vendor told of it, the latest first."""
    latest = Delivery.objects.filter(execution=row).order_by("-pk")
    told = without_bodies(latest.select_related("listener"))[:MOST_SHOWN]
    shown = [
        (
            link(one),
            _event(one.listener),
            _state(one),
            moment(one.received_at),
        )
        for one in told
    ]
    nobody = "The vendor told nothing of it: somebody opened it by hand."
    return Panel(
        "The notices that made it",
        columns=("Delivery", "Event", "State", "Received"),
        rows=shown,
        sentences=[] if shown else [nobody],
        more=[("All its deliveries", list_of(Delivery, execution=row.pk))],
    )


def _event(listener: Listener) -> str:
    on = f", channel {listener.channel}" if listener.channel else ""
    return f"Event {listener.event_type}{on}"


def _triggers(row: Execution) -> Panel:
    latest = Trigger.objects.filter(execution=row).order_by("-pk")[:MOST_SHOWN]
    return Panel(
        "The customers who triggered it",
        columns=("Customer", "State", "Since"),
        rows=[
            (link(one, one.customer), _state(one), since(one.state_since))
            for one in latest
        ],
        more=[("All customers", list_of(Trigger, execution=row.pk))],
    )


# --- Trigger --------------------------------------------------------------------------


def _ask_again(rows: QuerySet[Trigger], by: Any, why: str) -> Done:
    chosen = rows.select_related("execution")
    return one_by_one(
        chosen,
        announcing.ask_again,
        lambda _: "it waits to be asked for already",
        by=by,
        why=why,
    )


@admin.register(Trigger)
class TriggerAdmin(StatefulAdmin[Trigger]):
    list_display = (
        "customer",
        "execution_link",
        "status",
        "since",
        "why",
        "attempts",
        "next_time",
    )
    list_select_related = ("execution",)
    list_filter = ("state", "reason", narrowed("execution", Execution))
    finds = ("customer",)
    indexed = ("execution", "state__exact", "reason__exact", "needs")
    search_help_text = "A customer's id, in full"
    labels = dict(Asking.choices)
    attention = (
        Attention(
            "held",
            "Triggered customers are held",
            lambda: Q(state=Asking.HELD),
            by_reason=True,
        ),
    )
    deeds = (
        Deed(
            "ask_again",
            "Ask again",
            "executions.open_execution",
            _ask_again,
            said=("will be asked for again", "will be asked for again"),
            fits=lambda row: row.state != Asking.WAITING,
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "customer",
                    "execution_link",
                    "delivery_link",
                    "problem_in_full",
                )
            },
        ),
        ("Work", {"fields": ("announced", "attempts", "next_time")}),
    )

    @admin.display(description="execution")
    def execution_link(self, row: Trigger) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="delivery")
    def delivery_link(self, row: Trigger) -> SafeString:
        return link(row.delivery)

    @admin.display(description="asked for next")
    def next_time(self, row: Trigger) -> SafeString:
        return moment(row.not_before if row.state == Asking.WAITING else None)

    def heading(self, row: Trigger) -> str:
        return f"Customer {row.customer}, who triggered {row.execution.reference}"


def _state(row: Any) -> SafeString:
    return badge(row.state, row.get_state_display())


def _open() -> SafeString:
    return stamp("good", "✓", "Open")


def _deliveries(row: Model, **narrowed_to: Model) -> Panel:
    rows = Delivery.objects.filter(**narrowed_to).order_by("-pk")
    name = next(iter(narrowed_to))
    return Panel(
        "The latest deliveries",
        columns=("Delivery", "State", "Received"),
        rows=[
            (link(one), _state(one), moment(one.received_at))
            for one in without_bodies(rows)[:MOST_SHOWN]
        ],
        more=[("All deliveries", list_of(Delivery, **{name: row.pk}))],
    )
