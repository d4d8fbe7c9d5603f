"""Listeners, deliveries, campaigns, executions and triggered customers."""

from __future__ import annotations

import hashlib
import secrets
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import LessThan
from django.utils.crypto import constant_time_compare

from promoportal.db.database_clock import seconds_from_now
from promoportal.db.display_names import Named
from promoportal.db.state_machine import NEWEST, Stateful, Transition, constraint

# The condition of indexes for lists filtered by reason: most rows have no reason.
HAS_REASON = ~models.Q(reason="")


class EventType(models.IntegerChoices):
    """Optimove's event types. CONFIRMED: Optimove's documentation (docs/vendor.md)."""

    PROCESSED = 1, "1: a campaign was processed"
    ALL_PROCESSED = 2, "2: all of today's campaigns were processed"
    DAY_DONE = 3, "3: today's daily process is done"
    CANCELLED = 4, "4: a processed campaign was cancelled"
    CONDITIONAL = 5, "5: a campaign is on hold until cleared"
    TRIGGERED = 11, "11: one customer met a triggered campaign's criteria"
    SCHEDULED = 13, "13: a scheduled campaign was executed on one channel"
    ENGAGEMENT = 14, "14: a campaign is ready for the Engagement SDK"


# Events that announce rewards, and so are expected every day. Listeners for other
# events may receive nothing for a long time: cancellations are rare.
REWARD_EVENTS = (EventType.SCHEDULED, EventType.TRIGGERED)


class ExecutionKind(models.TextChoices):
    SCHEDULED = "SCHEDULED", "Scheduled"
    TRIGGERED = "TRIGGERED", "Triggered"
    UNKNOWN = "UNKNOWN", "Not known yet"


class ExecutionReason(models.TextChoices):
    """Reasons why a delivery or customer needs review, or an execution is stopped."""

    UNREADABLE = "UNREADABLE", "Invalid payload"
    WRONG_LISTENER = "WRONG_LISTENER", "Wrong listener"
    NOT_LISTED = "NOT_LISTED", "Customer not listed"
    REFUSED = "REFUSED", "Rejected by Optimove"
    MALFORMED = "MALFORMED", "Invalid response"
    GIVEN_UP = "GIVEN_UP", "Retries exhausted"
    OVER_LIMIT = "OVER_LIMIT", "Over limit"
    BY_STAFF = "BY_STAFF", "Stopped by staff"
    BY_VENDOR = "BY_VENDOR", "Cancelled by Optimove"
    POISON = "POISON", "Repeated crash"


class DeliveryState(models.TextChoices):
    UNREAD = "UNREAD", "Pending"
    READ = "READ", "Processed"
    IGNORED = "IGNORED", "Ignored"
    HELD = "HELD", "Needs review"


class ExecutionProgress(models.TextChoices):
    COLLECTING = "COLLECTING", "Fetching assignments"
    ACTIVATING = "ACTIVATING", "Activating and reporting"
    SETTLED = "SETTLED", "Processed"


class ExecutionStop(models.TextChoices):
    NONE = "NONE", "Running"
    HELD = "HELD", "Needs review"
    PAUSED = "PAUSED", "Paused"
    CANCELLED = "CANCELLED", "Cancelled"


class TriggerState(models.TextChoices):
    WAITING = "WAITING", "Pending"
    DONE = "DONE", "Listed"
    HELD = "HELD", "Needs review"


class ListenerQuerySet(models.QuerySet["Listener"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def with_last_heard(self) -> Self:
        """Annotate each listener with the time of its last delivery, or None."""
        calls = Delivery.objects.filter(listener=models.OuterRef("pk"))
        last = calls.order_by(NEWEST).values("received_at")[:1]
        return self.annotate(last_heard_at=models.Subquery(last))

    def silent(self, hours: int) -> Self:
        """
        Return open listeners for `REWARD_EVENTS` without a delivery for `hours`.

        For a listener without any delivery, the time since it was opened counts. If
        `hours` is 0, no listener is returned.
        """
        if not hours:
            return self.none()
        found = self.open().filter(event_type__in=REWARD_EVENTS).with_last_heard()
        last = Coalesce("last_heard_at", "opened_at")
        return found.filter(models.Q(LessThan(last, seconds_from_now(-3600 * hours))))

    def known_by(self, secret: str) -> Listener | None:
        """Find the open listener with this secret, if any. Compare in constant time."""
        digest = Listener.digest(secret)
        known = None
        for listener in self.open():
            if constant_time_compare(listener.secret_digest, digest):
                known = listener
        return known


class Listener(models.Model):
    """A webhook URL for one of Optimove's event types; the URL contains the secret."""

    event_type = models.PositiveSmallIntegerField(choices=EventType)
    channel = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: every channel."
    )
    secret_digest = models.CharField(max_length=64, unique=True, editable=False)
    header_name = models.CharField(max_length=100, blank=True)
    header_digest = models.CharField(max_length=64, blank=True, editable=False)
    networks = ArrayField(
        models.CharField(max_length=50),
        default=list,
        blank=True,
        help_text="The only networks it may be called from. Empty: any.",
    )
    opened_at = models.DateTimeField(db_default=Now())
    registered_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = ListenerQuerySet.as_manager()

    class Meta:
        permissions = [("manage_listener", "Can open, rotate and close listeners")]

    def __str__(self) -> str:
        return f"listener {self.short_name}"

    @property
    def short_name(self) -> str:
        where = f" on channel {self.channel}" if self.channel else ""
        return f"{self.pk} for event {self.event_type}{where}"

    @staticmethod
    def new_secret() -> str:
        return secrets.token_urlsafe(32)

    @staticmethod
    def digest(secret: str) -> str:
        """Return the SHA-256. The random secret of a URL needs no salt or slow hash."""
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Campaign(Named):
    """A plan in Optimove that can run many times (Optimove's series)."""

    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta(Named.Meta):
        permissions = [("name_campaign", "Can give a campaign a name")]

    def __str__(self) -> str:
        return f"campaign {self.reference}"


class Execution(Stateful):
    """One run of a campaign (Optimove's occurrence). Many webhooks can announce it."""

    machines = {
        # Each state can change to every other state.
        "state": {
            state: frozenset(ExecutionProgress) - {state} for state in ExecutionProgress
        },
        "stop": {
            ExecutionStop.NONE: frozenset(
                {ExecutionStop.HELD, ExecutionStop.PAUSED, ExecutionStop.CANCELLED}
            ),
            ExecutionStop.HELD: frozenset(
                {ExecutionStop.NONE, ExecutionStop.CANCELLED}
            ),
            ExecutionStop.PAUSED: frozenset(
                {ExecutionStop.NONE, ExecutionStop.HELD, ExecutionStop.CANCELLED}
            ),
            ExecutionStop.CANCELLED: frozenset(),
        },
    }
    # The limits add the part "figures".
    versioned = {"status": ("stop",), "cause": ("reason", "problem")}

    reference = models.CharField(max_length=200, unique=True)
    campaign = models.ForeignKey(
        Campaign, null=True, blank=True, on_delete=models.PROTECT
    )
    kind = models.CharField(
        max_length=10, choices=ExecutionKind, default=ExecutionKind.UNKNOWN
    )
    state = models.CharField(
        "progress",
        max_length=20,
        choices=ExecutionProgress,
        default=ExecutionProgress.COLLECTING,
    )
    stop = models.CharField(
        max_length=20, choices=ExecutionStop, default=ExecutionStop.NONE
    )
    reason = models.CharField(max_length=20, choices=ExecutionReason, blank=True)
    problem = models.TextField(blank=True)
    opened_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            constraint("execution_progress_known", ExecutionProgress.values),
            constraint("execution_stop_known", ExecutionStop.values, field="stop"),
        ]
        indexes = [
            # For the scheduler, which queries unfinished executions every second.
            models.Index(
                fields=["state"],
                name="execution_unsettled",
                condition=~models.Q(state=ExecutionProgress.SETTLED),
            ),
            # For the scheduler's query of cancelled executions.
            models.Index(
                fields=["stop"],
                name="execution_cancelled",
                condition=models.Q(stop=ExecutionStop.CANCELLED),
            ),
        ]
        permissions = [
            ("open_execution", "Can open an execution, or collect it again"),
            ("stop_execution", "Can pause, resume and cancel an execution"),
        ]

    def __str__(self) -> str:
        return f"execution {self.short_name}"

    @property
    def short_name(self) -> str:
        return self.reference


class ExecutionTransition(Transition):
    row = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="transitions"
    )


class Delivery(Stateful):
    """One webhook request to a listener, whose body is stored as received."""

    machines = {
        "state": {
            DeliveryState.UNREAD: frozenset(
                {DeliveryState.READ, DeliveryState.IGNORED, DeliveryState.HELD}
            ),
            DeliveryState.READ: frozenset({DeliveryState.UNREAD}),
            DeliveryState.IGNORED: frozenset({DeliveryState.UNREAD}),
            DeliveryState.HELD: frozenset({DeliveryState.UNREAD}),
        }
    }

    listener = models.ForeignKey(Listener, on_delete=models.PROTECT, db_index=False)
    body = models.BinaryField()
    content_type = models.CharField(max_length=200, blank=True)
    verdict = models.JSONField(
        help_text="How we knew the sender: the address, the header, the network."
    )
    received_at = models.DateTimeField(db_default=Now())
    state = models.CharField(
        max_length=20, choices=DeliveryState, default=DeliveryState.UNREAD
    )
    reason = models.CharField(max_length=20, choices=ExecutionReason, blank=True)
    problem = models.TextField(blank=True)
    execution = models.ForeignKey(
        Execution, null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [constraint("delivery_state_known", DeliveryState.values)]
        indexes = [
            # For claims of pending deliveries, oldest first.
            models.Index(
                fields=["id"],
                name="delivery_unread",
                condition=models.Q(state=DeliveryState.UNREAD),
            ),
            # For the filters of the admin list.
            models.Index("execution", NEWEST, name="delivery_of_execution"),
            models.Index("listener", NEWEST, name="delivery_of_listener"),
            models.Index("state", NEWEST, name="delivery_in_state"),
            models.Index("reason", NEWEST, name="delivery_why", condition=HAS_REASON),
        ]
        permissions = [
            ("reread_delivery", "Can read a delivery again"),
            ("reveal_delivery", "Can see a delivery's body as it came"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class DeliveryTransition(Transition):
    row = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, related_name="transitions"
    )


class Trigger(Stateful):
    """One triggered customer, pending until Optimove lists an assignment."""

    machines = {
        "state": {
            TriggerState.WAITING: frozenset({TriggerState.DONE, TriggerState.HELD}),
            TriggerState.DONE: frozenset({TriggerState.WAITING}),
            TriggerState.HELD: frozenset({TriggerState.WAITING}),
        }
    }
    versioned = {"row": ("state", "state_since", "announced")}

    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, related_name="triggers", db_index=False
    )
    customer = models.CharField(max_length=200)
    delivery = models.ForeignKey(
        Delivery, null=True, blank=True, on_delete=models.PROTECT
    )
    state = models.CharField(
        max_length=20, choices=TriggerState, default=TriggerState.WAITING
    )
    reason = models.CharField(max_length=20, choices=ExecutionReason, blank=True)
    problem = models.TextField(blank=True)
    announced = models.PositiveIntegerField(
        default=1, help_text="How often Optimove announced this customer."
    )
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Failed calls for this customer alone, since the last success.",
    )
    batch_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="The most customers per call, since a call with more failed.",
    )
    not_before = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            constraint("trigger_state_known", TriggerState.values),
            models.UniqueConstraint(
                fields=["execution", "customer"], name="trigger_once_per_customer"
            ),
        ]
        indexes = [
            # For the next lookup of customers, and to check whether any are pending.
            models.Index(
                fields=["execution", "not_before"],
                name="trigger_waiting",
                condition=models.Q(state=TriggerState.WAITING),
            ),
            # For the page of a customer, and for the search.
            models.Index(fields=["customer"], name="trigger_by_customer"),
            # For the filters of the admin list.
            models.Index("execution", NEWEST, name="trigger_of_execution"),
            models.Index("state", NEWEST, name="trigger_in_state"),
            models.Index("reason", NEWEST, name="trigger_why", condition=HAS_REASON),
        ]

    def __str__(self) -> str:
        return f"trigger of {self.customer} in {self.execution_id}"


class TriggerTransition(Transition):
    row = models.ForeignKey(
        Trigger, on_delete=models.CASCADE, related_name="transitions"
    )
