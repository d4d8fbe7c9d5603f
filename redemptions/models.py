"""Redemptions, which report activated rewards to Optimove, and redemption requests."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from executions.models import HAS_REASON, Execution
from promoportal.db.leases import Leased
from promoportal.db.state_machine import NEWEST, Stateful, Transition, constraint
from rewards.models import Assignment


class RedemptionState(models.TextChoices):
    WAITING = "WAITING", "Pending"
    REPORTING = "REPORTING", "Sending"
    UNCERTAIN = "UNCERTAIN", "Outcome unknown"
    REPORTED = "REPORTED", "Reported"
    HELD = "HELD", "Needs review"
    WRITTEN_OFF = "WRITTEN_OFF", "Not reported"


# States that the portal changes without a decision of staff.
MOVING = [
    RedemptionState.WAITING,
    RedemptionState.REPORTING,
    RedemptionState.UNCERTAIN,
]
# States of redemptions that are not reported, but can still be reported.
UNREPORTED = [*MOVING, RedemptionState.HELD]


class ReportMode(models.TextChoices):
    TRIGGERED = "TRIGGERED", "Immediate"
    SCHEDULED = "SCHEDULED", "Batched"


class RedemptionReason(models.TextChoices):
    REFUSED = "REFUSED", "Rejected by Optimove"
    UNANSWERED = "UNANSWERED", "Outcome unknown"
    MALFORMED = "MALFORMED", "Invalid response"
    GIVEN_UP = "GIVEN_UP", "Retries exhausted"


class Report(models.Model):
    """A redemption request with one or more redemptions, stored before it is sent."""

    class Outcome(models.TextChoices):
        ACCEPTED = "ACCEPTED", "Accepted"
        PARTLY = "PARTLY", "Partly rejected"
        REFUSED = "REFUSED", "Rejected"
        UNAVAILABLE = "UNAVAILABLE", "Unavailable, no effect"
        UNANSWERED = "UNANSWERED", "No response, effect unknown"
        MALFORMED = "MALFORMED", "Invalid response"
        MISCONFIGURED = "MISCONFIGURED", "Configuration error"
        NOT_SENT = "NOT_SENT", "Not sent"
        LOST = "LOST", "Worker stopped, effect unknown"

    size = models.PositiveIntegerField()
    is_batch = models.BooleanField()
    token = models.UUIDField(editable=False)
    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=15, choices=Outcome, blank=True)
    accepted = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        indexes = [
            # For the filters of the admin list.
            models.Index("outcome", NEWEST, name="report_outcome"),
            models.Index("is_batch", NEWEST, name="report_kind"),
            # For the scheduler, which closes requests whose worker crashed.
            models.Index(
                fields=["token"],
                name="report_under_way",
                condition=models.Q(outcome=""),
            ),
        ]

    def __str__(self) -> str:
        return f"report {self.short_name}"

    @property
    def short_name(self) -> str:
        return f"{self.pk} of {self.size}"


class Redemption(Stateful, Leased):
    """The report to Optimove that one reward was activated."""

    machines = {
        "state": {
            RedemptionState.WAITING: frozenset(
                {
                    RedemptionState.REPORTING,
                    RedemptionState.REPORTED,
                    RedemptionState.HELD,
                }
            ),
            RedemptionState.REPORTING: frozenset(
                {
                    RedemptionState.REPORTED,
                    RedemptionState.WAITING,
                    RedemptionState.UNCERTAIN,
                    RedemptionState.HELD,
                }
            ),
            RedemptionState.UNCERTAIN: frozenset(
                {
                    RedemptionState.WAITING,
                    RedemptionState.REPORTED,
                    RedemptionState.HELD,
                }
            ),
            RedemptionState.HELD: frozenset(
                {
                    RedemptionState.WAITING,
                    RedemptionState.REPORTED,
                    RedemptionState.WRITTEN_OFF,
                }
            ),
            RedemptionState.REPORTED: frozenset(),
            # A late response may show that Optimove accepted it.
            RedemptionState.WRITTEN_OFF: frozenset({RedemptionState.REPORTED}),
        }
    }
    versioned = {"row": ("state", "state_since", "attempts", "reason")}

    assignment = models.OneToOneField(
        Assignment, on_delete=models.PROTECT, related_name="redemption"
    )
    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, related_name="redemptions", db_index=False
    )
    reference = models.UUIDField(unique=True, help_text="Ours; sent with every report.")
    redeemed_at = models.DateTimeField()
    mode = models.CharField(max_length=10, choices=ReportMode)
    state = models.CharField(
        max_length=20, choices=RedemptionState, default=RedemptionState.WAITING
    )
    reason = models.CharField(max_length=20, choices=RedemptionReason, blank=True)
    problem = models.TextField(blank=True)
    report = models.ForeignKey(
        Report,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="redemptions",
        db_index=False,
        help_text="The latest report that carried it.",
    )
    batch_limit = models.PositiveIntegerField(
        default=0, help_text="A batch with it was refused whole: at most so many next."
    )
    malformed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            constraint("redemption_state_known", RedemptionState.values),
            models.CheckConstraint(
                name="redemption_reporting_is_leased",
                condition=~models.Q(state=RedemptionState.REPORTING)
                | models.Q(lease_until__isnull=False, token__isnull=False),
            ),
        ]
        indexes = [
            # For claims, and for the scheduler's search for due rows.
            models.Index(
                fields=["not_before", "id"],
                name="redemption_due",
                condition=models.Q(state=RedemptionState.WAITING),
            ),
            models.Index(
                fields=["lease_until"],
                name="redemption_leased",
                condition=models.Q(state=RedemptionState.REPORTING),
            ),
            models.Index(
                fields=["not_before"],
                name="redemption_uncertain",
                condition=models.Q(state=RedemptionState.UNCERTAIN),
            ),
            # For the overview, which counts the few redemptions in `UNCERTAIN`.
            models.Index(
                NEWEST,
                name="redemption_unanswered",
                include=["id", "state_since"],
                condition=models.Q(state=RedemptionState.UNCERTAIN),
            ),
            # For the filters of the admin list.
            models.Index("execution", NEWEST, name="redemption_of_execution"),
            models.Index("report", NEWEST, name="redemption_of_report"),
            models.Index("state", NEWEST, name="redemption_in_state"),
            # Also for the check whether an execution has redemptions in `MOVING`.
            models.Index(
                "execution", "state", NEWEST, name="redemption_of_execution_in"
            ),
            models.Index(
                NEWEST,
                name="redemption_unreported",
                condition=models.Q(state__in=UNREPORTED),
            ),
            models.Index(
                "execution",
                NEWEST,
                name="redemption_unreported_of",
                condition=models.Q(state__in=UNREPORTED),
            ),
            models.Index("reason", NEWEST, name="redemption_why", condition=HAS_REASON),
            models.Index(
                "state",
                "reason",
                NEWEST,
                name="redemption_in_state_why",
                condition=HAS_REASON,
            ),
        ]
        permissions = [
            ("report_again_redemption", "Can report held redemptions again"),
            ("write_off_redemption", "Can write off held redemptions"),
            ("export_redemption", "Can export redemptions as CSV"),
        ]

    def __str__(self) -> str:
        return f"redemption of {self.assignment_id}"

    @property
    def is_batched(self) -> bool:
        return self.mode == ReportMode.SCHEDULED


class RedemptionTransition(Transition):
    row = models.ForeignKey(
        Redemption, on_delete=models.CASCADE, related_name="transitions"
    )
