"""What each customer is owed, until they have it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Now
from django.db.models.lookups import IsNull

from executions.models import Execution
from promoportal.leases import Leased
from promoportal.naming import Named
from promoportal.states import NEWEST, Stateful, Transition, constraint

# The level of a promotion that a reward is of, as it was listed.
TIER = KT("reward__tier")


class State(models.TextChoices):
    OWED = "OWED", "To be activated"
    ACTIVATING = "ACTIVATING", "Being activated"
    UNCERTAIN = "UNCERTAIN", "Sent, no answer"
    ACTIVE = "ACTIVE", "Active"
    HELD = "HELD", "Held for staff"
    VOID = "VOID", "Nothing to activate"


class Collecting(models.TextChoices):
    IDLE = "IDLE", "Nothing asked for"
    WAITING = "WAITING", "A pass is asked for"
    COLLECTING = "COLLECTING", "A pass is under way"
    DONE = "DONE", "Collected"
    HELD = "HELD", "Held for staff"


class Reason(models.TextChoices):
    """Why a row is held or void; prose goes beside it."""

    UNREADABLE = "UNREADABLE", "Optimove's row could not be read"
    UNKNOWN_STATUS = "UNKNOWN_STATUS", "The contract does not know its status"
    REFUSED = "REFUSED", "The platform refused it"
    UNANSWERED = "UNANSWERED", "Nobody can say whether it was given"
    MALFORMED = "MALFORMED", "Answers break the contract"
    DIFFERS = "DIFFERS", "Optimove changed the reward"
    REPEATED = "REPEATED", "A second assignment of the same promotion"
    TOO_LATE = "TOO_LATE", "It was not activated in time"
    OVER_LIMIT = "OVER_LIMIT", "It is past a limit"
    POISON = "POISON", "Working on it killed the worker"
    INCOMPLETE = "INCOMPLETE", "Optimove lists fewer than it says"
    EMPTY = "EMPTY", "Optimove lists nobody"
    GIVEN_UP = "GIVEN_UP", "It failed too often"
    NOT_ASSIGNED = "NOT_ASSIGNED", "Optimove assigned nothing"
    CANCELLED = "CANCELLED", "Cancelled before it was given"
    WRITTEN_OFF = "WRITTEN_OFF", "Written off by staff"


class Trying(models.TextChoices):
    RUNNING = "RUNNING", "Under way"
    PAUSED = "PAUSED", "Paused"
    DONE = "DONE", "Done"
    CANCELLED = "CANCELLED", "Cancelled"


class Promotion(Named):
    """What is offered, as far as the vendor told us."""

    class Mode(models.TextChoices):
        DEFAULT = "", "As the portal is set"
        TRIGGERED = "triggered", "At once, one by one"
        SCHEDULED = "scheduled", "In batches, at an interval"
        OFF = "off", "Not reported"

    code = models.CharField(max_length=200, blank=True)
    redemption_mode = models.CharField(max_length=10, choices=Mode, blank=True)
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta(Named.Meta):
        indexes = [
            *Named.Meta.indexes,
            # Looked for together with its name and its id, each by its own index.
            models.Index(fields=["code"], name="promotion_by_code"),
        ]
        permissions = [
            ("set_redemption_mode", "Can set how activations are reported"),
            ("name_promotion", "Can give a promotion a name"),
        ]

    def __str__(self) -> str:
        return self.reference


class Collection(Stateful, Leased):
    """The fetching of one execution's assignments, page after page, pass after pass."""

    machines = {
        "state": {
            Collecting.IDLE: frozenset({Collecting.WAITING, Collecting.HELD}),
            Collecting.WAITING: frozenset({Collecting.COLLECTING, Collecting.HELD}),
            Collecting.COLLECTING: frozenset(
                {Collecting.WAITING, Collecting.DONE, Collecting.HELD}
            ),
            Collecting.DONE: frozenset({Collecting.WAITING, Collecting.HELD}),
            Collecting.HELD: frozenset({Collecting.WAITING, Collecting.IDLE}),
        }
    }

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, related_name="collection"
    )
    state = models.CharField(max_length=20, choices=Collecting, default=Collecting.IDLE)
    reason = models.CharField(max_length=20, choices=Reason, blank=True)
    problem = models.TextField(blank=True)
    again = models.BooleanField(
        default=False, help_text="One more pass was asked for while one was under way."
    )
    number = models.PositiveIntegerField(default=0, help_text="Passes begun.")
    finished = models.PositiveIntegerField(default=0, help_text="The last full pass.")
    cursor = models.TextField(blank=True, help_text="Where the next page begins.")
    pages = models.PositiveIntegerField(default=0)
    seen = models.PositiveIntegerField(
        default=0, help_text="Distinct rows of this pass."
    )
    total = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many Optimove says there are."
    )
    barren = models.PositiveIntegerField(
        default=0, help_text="Pages in a row that brought nothing new."
    )
    restarts = models.PositiveIntegerField(default=0)
    empties = models.PositiveIntegerField(default=0)
    looks = models.PositiveSmallIntegerField(
        default=0, help_text="How often the list was whole since it was asked for."
    )
    seen_before = models.PositiveIntegerField(
        default=0, help_text="Distinct rows of the whole list before."
    )
    malformed = models.PositiveIntegerField(default=0)
    deaths = models.PositiveIntegerField(default=0)
    taken_back = models.BooleanField(
        default=False, help_text="It was cancelled, and all its rows followed."
    )
    cleared_to = models.BigIntegerField(
        null=True,
        help_text="Rows up to here passed the limits; some wait to be let go.",
    )
    waived = models.JSONField(
        default=dict, help_text="The figures past the limits that a person let go."
    )

    class Meta:
        constraints = [constraint("collection_state_known", Collecting.values)]
        indexes = [
            # The tick looks for passes to take up, every second.
            models.Index(
                fields=["not_before"],
                name="collection_due",
                condition=models.Q(state__in=["WAITING", "COLLECTING"]),
            ),
            models.Index(
                fields=["cleared_to"],
                name="collection_clearing",
                condition=models.Q(cleared_to__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"collection of {self.execution_id}"


class CollectionTransition(Transition):
    row = models.ForeignKey(
        Collection, on_delete=models.CASCADE, related_name="transitions"
    )


class Tally(models.Model):
    """What one execution assigned so far, by unit; limits are checked against it."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="tallies"
    )
    unit = models.CharField(max_length=50, blank=True, help_text="EUR, spins, ...")
    customers = models.PositiveIntegerField(default=0)
    value = models.DecimalField(max_digits=26, decimal_places=6, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "unit"], name="tally_per_unit")
        ]

    def __str__(self) -> str:
        return f"{self.execution_id}: {self.customers} of {self.unit or 'codes'}"


class Assignment(Stateful, Leased):
    """What one customer was assigned by one execution, until they have it."""

    machines = {
        "state": {
            State.OWED: frozenset(
                {
                    State.ACTIVATING,
                    State.ACTIVE,
                    State.UNCERTAIN,
                    State.HELD,
                    State.VOID,
                }
            ),
            State.ACTIVATING: frozenset(
                {State.ACTIVE, State.OWED, State.UNCERTAIN, State.HELD, State.VOID}
            ),
            State.UNCERTAIN: frozenset(
                {State.ACTIVE, State.OWED, State.HELD, State.VOID}
            ),
            State.HELD: frozenset({State.OWED, State.VOID, State.ACTIVE}),
            State.VOID: frozenset({State.OWED, State.HELD, State.ACTIVE}),
            State.ACTIVE: frozenset(),
        }
    }

    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    promotion = models.ForeignKey(
        Promotion, null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    reference = models.CharField(max_length=200, help_text="Optimove's assignment id.")
    # In the order of its characters, so that an index finds how an id begins.
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

    state = models.CharField(max_length=20, choices=State)
    reason = models.CharField(max_length=20, choices=Reason, blank=True)
    problem = models.TextField(blank=True)
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
            constraint("assignment_state_known", State.values),
            models.UniqueConstraint(
                fields=["execution", "reference"], name="assignment_once_per_execution"
            ),
            # Whatever ids the vendor gives, one promotion is credited to one customer
            # once per execution, unless a person released the second.
            models.UniqueConstraint(
                fields=["execution", "promotion", "customer"],
                name="assignment_once_per_customer",
                condition=models.Q(repeated=False) & ~models.Q(customer=""),
            ),
            models.CheckConstraint(
                name="assignment_activating_is_leased",
                condition=~models.Q(state=State.ACTIVATING)
                | models.Q(lease_until__isnull=False, token__isnull=False),
            ),
            models.CheckConstraint(
                name="assignment_activating_has_key_and_order",
                condition=~models.Q(state=State.ACTIVATING)
                | models.Q(key__isnull=False, order__isnull=False),
            ),
        ]
        indexes = [
            # The claim: what is owed by this execution, the longest due first.
            models.Index(
                fields=["execution", "not_before", "id"],
                name="assignment_due",
                condition=models.Q(state=State.OWED, cleared=True),
            ),
            # The tick: what is owed for too long, expired, or to be settled.
            models.Index(
                fields=["owed_since"],
                name="assignment_owed_since",
                condition=models.Q(state=State.OWED),
            ),
            models.Index(
                fields=["lease_until"],
                name="assignment_leased",
                condition=models.Q(state=State.ACTIVATING),
            ),
            models.Index(
                fields=["not_before"],
                name="assignment_uncertain",
                condition=models.Q(state=State.UNCERTAIN),
            ),
            # Lists as staff narrow them. Without the key in it an index finds the rows,
            # but has them sorted: all half a million of an execution.
            models.Index("execution", NEWEST, name="assignment_of_execution"),
            models.Index("promotion", NEWEST, name="assignment_of_promotion"),
            models.Index("state", NEWEST, name="assignment_in_state"),
            # Settled or not, too: is any row of this execution still moving?
            models.Index(
                "execution", "state", NEWEST, name="assignment_of_execution_in"
            ),
            # The few that something is to be said about; the others cost nothing here.
            models.Index(
                "reason",
                NEWEST,
                name="assignment_why",
                condition=~models.Q(reason=""),
            ),
            models.Index(
                "state",
                "reason",
                NEWEST,
                name="assignment_in_state_why",
                condition=~models.Q(reason=""),
            ),
            models.Index(
                "execution",
                "reason",
                NEWEST,
                name="assignment_of_execution_why",
                condition=~models.Q(reason=""),
            ),
            models.Index(
                "execution",
                TIER,
                NEWEST,
                name="assignment_of_execution_tier",
                condition=models.Q(IsNull(TIER, False)),
            ),
            models.Index(
                NEWEST,
                name="assignment_doubtful",
                condition=models.Q(doubtful=True),
            ),
            models.Index(
                NEWEST,
                name="assignment_too_late",
                condition=models.Q(cancelled_too_late=True),
            ),
            # What the first page counts: these few, and not all that are held or sent.
            models.Index(
                NEWEST,
                name="assignment_held_in_doubt",
                include=["id"],
                condition=models.Q(state=State.HELD, doubtful=True),
            ),
            models.Index(
                NEWEST,
                name="assignment_unanswered",
                include=["id", "state_since"],
                condition=models.Q(state=State.UNCERTAIN),
            ),
            models.Index(
                "promotion",
                NEWEST,
                name="assignment_of_promotion_held",
                condition=models.Q(state=State.HELD),
            ),
            # What a cancellation would do to them, asked before it does it.
            models.Index(
                "execution",
                NEWEST,
                name="assignment_of_execution_doubt",
                condition=models.Q(doubtful=True),
            ),
            models.Index(
                "execution",
                NEWEST,
                name="assignment_of_execution_late",
                condition=models.Q(cancelled_too_late=True),
            ),
            # In doubt: sent again only while its key is remembered, and not for ever.
            models.Index(
                fields=["first_sent_at"],
                name="assignment_in_doubt",
                condition=models.Q(state__in=["OWED", "UNCERTAIN"], doubtful=True),
            ),
            # What waits for its pass to be checked against the limits.
            models.Index(
                fields=["execution", "id"],
                name="assignment_uncleared",
                condition=models.Q(cleared=False),
            ),
            models.Index(fields=["customer", "-id"], name="assignment_by_customer"),
            models.Index(
                fields=["customer", "-id"],
                name="assignment_of_customer_needing",
                condition=models.Q(state__in=[State.HELD, State.UNCERTAIN]),
            ),
        ]
        permissions = [
            ("retry_assignment", "Can try held assignments again"),
            ("decide_assignment", "Can say whether a doubtful reward was given"),
            ("write_off_assignment", "Can write off held assignments"),
            ("export_assignment", "Can export assignments as CSV"),
            ("reveal_assignment", "Can see codes, and payloads as they came"),
        ]

    def __str__(self) -> str:
        return f"assignment {self.reference} of {self.customer or 'nobody'}"


class AssignmentTransition(Transition):
    row = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="transitions"
    )

    class Meta(Transition.Meta):
        indexes = [
            *Transition.Meta.indexes,
            # What was activated, the latest first.
            models.Index(
                NEWEST,
                name="assignment_activated",
                condition=models.Q(after=State.ACTIVE),
            ),
        ]


class ActivationManager(models.Manager["Activation"]):
    def get_queryset(self) -> models.QuerySet[Activation]:
        return super().get_queryset().filter(after=State.ACTIVE)


class Activation(AssignmentTransition):
    """The move that made an assignment active, of which there is one and no more."""

    objects: ClassVar[ActivationManager] = ActivationManager()

    class Meta:
        proxy = True
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"activation of {self.row_id}"


class Attempt(models.Model):
    """One call to the platform for one assignment, written down before it was made."""

    class Kind(models.TextChoices):
        ACTIVATE = "ACTIVATE", "Activate"
        LOOK_UP = "LOOK_UP", "Look up"

    class Outcome(models.TextChoices):
        GIVEN = "GIVEN", "Given"
        NOT_FOUND = "NOT_FOUND", "Not known there"
        UNAVAILABLE = "UNAVAILABLE", "Not available, nothing happened"
        UNANSWERED = "UNANSWERED", "No answer; it may have happened"
        REFUSED = "REFUSED", "Refused"
        MALFORMED = "MALFORMED", "The answer breaks the contract"
        MISCONFIGURED = "MISCONFIGURED", "Refused for our configuration"
        NOT_SENT = "NOT_SENT", "Handed back unsent"
        LOST = "LOST", "The worker died; it may have happened"

    assignment = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="history", db_index=False
    )
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ACTIVATE)
    number = models.PositiveIntegerField()
    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=15, choices=Outcome, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["assignment", "kind", "number"], name="attempt_numbered"
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} ({self.kind}) of {self.assignment_id}"


class Proposal(models.Model):
    """One person's word about a doubtful reward that takes the same word of a second."""

    class Says(models.TextChoices):
        GIVEN = "GIVEN", "It was given"
        NOT_GIVEN = "NOT_GIVEN", "It was not given"

    assignment = models.OneToOneField(
        Assignment, on_delete=models.CASCADE, related_name="proposal"
    )
    says = models.CharField(max_length=10, choices=Says)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    why = models.TextField()
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.by}: {self.get_says_display()}"


class Retrial(Stateful):
    """A person's word to try again all that matched a list, some thousands or a million."""

    machines = {
        "state": {
            Trying.RUNNING: frozenset({Trying.PAUSED, Trying.DONE, Trying.CANCELLED}),
            Trying.PAUSED: frozenset({Trying.RUNNING, Trying.CANCELLED}),
            Trying.DONE: frozenset(),
            Trying.CANCELLED: frozenset(),
        }
    }

    state = models.CharField(max_length=20, choices=Trying, default=Trying.RUNNING)
    form = models.UUIDField(unique=True, help_text="Pressed twice, it is one word.")
    narrowed = models.TextField(blank=True, help_text="How the list was narrowed.")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    why = models.TextField()
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    left_alone = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [constraint("retrial_state_known", Trying.values)]
        indexes = [
            # What the tick and its job look for.
            models.Index(
                fields=["id"],
                name="retrial_running",
                condition=models.Q(state=Trying.RUNNING),
            )
        ]

    def __str__(self) -> str:
        return f"retrial of {self.total:,}"


class RetrialTransition(Transition):
    row = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="transitions"
    )


class RetrialPart(models.Model):
    """
    Assignments of a retrial that are still to be tried again, in one go.

    Their keys, and not a row for each: a million are chosen while somebody waits.
    """

    retrial = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="parts", db_index=False
    )
    number = models.PositiveIntegerField()
    assignments = ArrayField(models.BigIntegerField())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["retrial", "number"], name="retrial_part_numbered"
            )
        ]

    def __str__(self) -> str:
        return f"part {self.number} of {self.retrial_id}"


class Retried(models.Model):
    """What became of one assignment that was tried again with others."""

    retrial = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="rows", db_index=False
    )
    assignment = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="+"
    )
    left_alone = models.TextField(blank=True, help_text="Why; empty if it was done.")

    class Meta:
        verbose_name = "retried assignment"
        constraints = [
            models.UniqueConstraint(
                fields=["retrial", "assignment"], name="retried_once"
            )
        ]
        indexes = [
            models.Index(fields=["retrial", "id"], name="retried_listed"),
            models.Index(
                fields=["retrial", "id"],
                name="retried_done",
                condition=models.Q(left_alone=""),
            ),
            models.Index(
                fields=["retrial", "id"],
                name="retried_left_alone",
                condition=~models.Q(left_alone=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.assignment_id} in {self.retrial_id}"
