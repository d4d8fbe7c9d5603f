from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Index, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Now
from django.db.models.lookups import IsNull

from executions.models import Execution
from promoportal.db.leases import Leased
from promoportal.db.state_machine import Stateful, Transition, constraint
from rewards.models.choices import (
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from rewards.models.indexes import newest, partial
from rewards.models.promotion import Promotion

OWED, ACTIVATING, UNCERTAIN, ACTIVE, HELD, VOID = AssignmentState
# The tier of the promotion, as Optimove lists it.
TIER = KT("reward__tier")
_HAS_REASON, _DOUBTFUL = ~Q(reason=""), Q(doubtful=True)
_TOO_LATE = Q(cancelled_too_late=True)
_UNTOLD = Q(told_at=None)


class Assignment(Stateful, Leased):
    """One promotion that Optimove assigned to one customer in one execution."""

    machines = {
        "state": {
            OWED: frozenset({ACTIVATING, ACTIVE, UNCERTAIN, HELD, VOID}),
            ACTIVATING: frozenset({ACTIVE, OWED, UNCERTAIN, HELD, VOID}),
            UNCERTAIN: frozenset({ACTIVE, OWED, HELD, VOID}),
            HELD: frozenset({OWED, VOID, ACTIVE}),
            VOID: frozenset({OWED, HELD, ACTIVE}),
            ACTIVE: frozenset(),
        }
    }
    versioned = {
        "row": (
            *("state", "state_since", "attempts", "reason", "difference", "repeated"),
            *("doubtful", "cancelled_too_late", "receipt", "evidence"),
            *("vendor_status", "meaning", "reward", "value", "unit", "unique_code"),
            "as_assigned",
        )
    }

    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    promotion = models.ForeignKey(
        Promotion, null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    reference = models.CharField(max_length=200, help_text="Optimove's assignment id.")
    # With the collation "C", an index also finds IDs by their first characters.
    customer = models.CharField(max_length=200, blank=True, db_collation="C")

    as_assigned = models.JSONField(help_text="The row as Optimove said it.")
    vendor_status = models.CharField(max_length=200, blank=True)
    meaning = models.CharField(
        max_length=10, help_text="What the contract makes of Optimove's status."
    )
    reward = models.JSONField(null=True, blank=True, help_text="What is owed, read.")
    value = models.DecimalField(max_digits=20, decimal_places=6, null=True, blank=True)
    unit = models.CharField(max_length=50, blank=True)
    unique_code = models.CharField(max_length=200, blank=True)
    properties = models.JSONField(default=dict, blank=True)
    assigned_at = models.DateTimeField(null=True, blank=True)
    listed_pass = models.PositiveIntegerField(default=0)

    state = models.CharField(max_length=20, choices=AssignmentState)
    reason = models.CharField(max_length=20, choices=AssignmentReason, blank=True)
    problem = models.TextField(blank=True)
    # Kept until staff confirm the row, even if `reason` or `problem` is overwritten.
    difference = models.CharField(
        max_length=10,
        choices=AssignmentDifference,
        blank=True,
        default="",
        db_default="",
        help_text="What Optimove lists otherwise than it was assigned.",
    )
    confirmed = models.JSONField(
        null=True,
        blank=True,
        help_text="The reasons that staff approved, each with the reward's worth.",
    )
    # A trigger of the database sets it, so that no statement can forget it.
    changed_at = models.DateTimeField(
        null=True, help_text="The last change that matters, except for the state's."
    )
    # The same trigger empties it, because CRM does not know of the new change.
    told_at = models.DateTimeField(
        null=True, help_text="When staff told CRM what changed after the activation."
    )
    repeated = models.BooleanField(default=False)
    cleared = models.BooleanField(default=False, help_text="It passed the limits.")
    doubtful = models.BooleanField(
        default=False, help_text="An attempt went unanswered and is not settled yet."
    )
    cancelled_too_late = models.BooleanField(default=False)

    key = models.UUIDField(
        null=True, unique=True, help_text="Sent with every attempt; never changes."
    )
    order = models.JSONField(
        null=True, blank=True, help_text="What is sent, frozen at the first attempt."
    )
    first_sent_at = models.DateTimeField(null=True, blank=True)
    receipt = models.CharField(max_length=200, blank=True)
    evidence = models.CharField(
        max_length=200, blank=True, help_text="A receipt that came late."
    )
    malformed = models.PositiveIntegerField(default=0)
    deaths = models.PositiveIntegerField(
        default=0, help_text="How often its worker died while holding it."
    )
    owed_since = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            constraint("assignment_state_known", AssignmentState.values),
            models.UniqueConstraint(
                fields=["execution", "reference"], name="assignment_once_per_execution"
            ),
            # Optimove may list a promotion twice, with two IDs. The second row is
            # `repeated`. Staff decide, unless the contract file allows repeats.
            models.UniqueConstraint(
                fields=["execution", "promotion", "customer"],
                name="assignment_once_per_customer",
                condition=Q(repeated=False) & ~Q(customer=""),
            ),
            models.CheckConstraint(
                name="assignment_activating_is_leased",
                condition=~Q(state=ACTIVATING)
                | Q(lease_until__isnull=False, token__isnull=False),
            ),
            models.CheckConstraint(
                name="assignment_activating_has_key_and_order",
                condition=~Q(state=ACTIVATING)
                | Q(key__isnull=False, order__isnull=False),
            ),
        ]
        indexes = [
            # Claims: pending rows of an execution, the longest due first.
            partial(
                "assignment_due",
                *("execution", "not_before", "id"),
                state=OWED,
                cleared=True,
            ),
            # The scheduler: rows whose deadline passed, rows whose lease ended, and
            # rows whose outcome is to be resolved.
            partial("assignment_owed_since", "owed_since", state=OWED),
            partial("assignment_leased", "lease_until", state=ACTIVATING),
            partial("assignment_uncertain", "not_before", state=UNCERTAIN),
            # The filters of the assignment list. Each index ends with the key, or
            # PostgreSQL would sort all rows found: half a million for an execution.
            newest("assignment_of_execution", "execution"),
            newest("assignment_of_promotion", "promotion"),
            newest("assignment_in_state", "state"),
            # This index also serves the query for unprocessed rows of an execution.
            newest("assignment_of_execution_in", "execution", "state"),
            # These indexes are partial: most rows have no reason, and need no entry.
            newest("assignment_why", "reason", where=_HAS_REASON),
            newest("assignment_in_state_why", "state", "reason", where=_HAS_REASON),
            newest(
                "assignment_of_execution_why", "execution", "reason", where=_HAS_REASON
            ),
            newest(
                "assignment_of_execution_tier",
                "execution",
                TIER,
                where=Q(IsNull(TIER, False)),
            ),
            newest("assignment_doubtful", where=_DOUBTFUL),
            newest("assignment_too_late", where=_TOO_LATE),
            # The counts of the overview, which must not read all rows of these states.
            newest("assignment_late_untold", where=_TOO_LATE & _UNTOLD),
            newest(
                "assignment_held_in_doubt",
                where=Q(state=HELD, doubtful=True),
                include=["id"],
            ),
            # The preview of a bulk retry: changed rewards that a retry skips.
            newest("assignment_held_changed", where=Q(state=HELD) & ~Q(difference="")),
            newest(
                "assignment_unanswered",
                where=Q(state=UNCERTAIN),
                include=["id", "state_since"],
            ),
            newest("assignment_of_promotion_held", "promotion", where=Q(state=HELD)),
            # The preview of a cancellation.
            newest("assignment_of_execution_doubt", "execution", where=_DOUBTFUL),
            newest("assignment_of_execution_late", "execution", where=_TOO_LATE),
            # Possibly activated rows are sent only while the platform knows their key.
            partial(
                "assignment_in_doubt",
                "first_sent_at",
                state__in=["OWED", "UNCERTAIN"],
                doubtful=True,
            ),
            # Rows that wait for the check of the limits.
            partial("assignment_uncleared", "execution", "id", cleared=False),
            # The page of a customer, with rows that need review first, and the search.
            Index(fields=["customer", "-id"], name="assignment_by_customer"),
            partial(
                "assignment_of_customer_needing",
                *("customer", "-id"),
                state__in=[HELD, UNCERTAIN],
            ),
        ]
        permissions = [
            ("retry_assignment", "Can try held assignments again"),
            ("decide_assignment", "Can say whether a doubtful reward was given"),
            ("write_off_assignment", "Can write off held assignments"),
            ("export_assignment", "Can export assignments as CSV"),
            ("reveal_assignment", "Can see codes, and payloads as they came"),
        ]

    @property
    def known_difference(self) -> AssignmentDifference | None:
        """
        Return what Optimove changed since it assigned the reward, or None.

        During an upgrade, the previous release still marks rows without setting
        `difference`. For these rows, the property reads `problem` and `reason`. From
        the next release on, reading `difference` is enough.
        """
        if "lists another customer or promotion than before." in self.problem:
            return AssignmentDifference.OWNER
        if self.difference:
            return AssignmentDifference(self.difference)
        is_marked = self.reason == AssignmentReason.DIFFERS
        is_marked |= "lists another reward than before." in self.problem
        return AssignmentDifference.REWARD if is_marked else None

    def __str__(self) -> str:
        return f"assignment {self.reference} of {self.customer or 'nobody'}"


class AssignmentTransition(Transition):
    row = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="transitions"
    )

    class Meta(Transition.Meta):
        indexes = [
            *Transition.Meta.indexes,
            # The list of activated rewards, the newest first.
            newest("assignment_activated", where=Q(after=ACTIVE)),
        ]


class ActivationManager(models.Manager["Activation"]):
    def get_queryset(self) -> models.QuerySet[Activation]:
        return super().get_queryset().filter(after=ACTIVE)


class Activation(AssignmentTransition):
    """The transition of an assignment to `ACTIVE`; each assignment has at most one."""

    objects: ClassVar[ActivationManager] = ActivationManager()

    class Meta:
        proxy = True
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"activation of {self.row_id}"
