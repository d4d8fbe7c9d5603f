"""
Factories of rows for tests: valid rows that differ by a number.

A test sets only what matters to it: `AssignmentFactory(state=AssignmentState.HELD)`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid5

import factory
from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from executions.models import (
    Campaign,
    Delivery,
    DeliveryState,
    EventType,
    Execution,
    ExecutionKind,
    ExecutionProgress,
    Listener,
    Trigger,
    TriggerState,
)
from promoportal.optimove import Meaning
from redemptions.models import Redemption, RedemptionState, Report, ReportMode
from rewards.models import (
    Assignment,
    AssignmentState,
    Attempt,
    Collection,
    CollectionState,
    Promotion,
    Retrial,
)

M = TypeVar("M", bound=Model)
_HERE = UUID("5eed0000-0000-4000-8000-000000000000")
make: Any = factory  # its functions have no types


class Makes(Protocol[M]):
    """A factory of rows: a call creates one, a batch creates many."""

    def __call__(self, **given: Any) -> M: ...
    def build(self, **given: Any) -> M: ...
    def create_batch(self, size: int, **given: Any) -> list[M]: ...


class _AsSaved(make.django.DjangoModelFactory):  # type: ignore[misc]
    """A factory whose rows have the values that the database filled in."""

    @classmethod
    def _create(cls, model: Any, *args: Any, **given: Any) -> Any:
        row = super()._create(model, *args, **given)
        row.refresh_from_db()
        return row


def of(model: type[M], **declared: Any) -> Makes[M]:
    made: Makes[M] = make.make_factory(model, FACTORY_CLASS=_AsSaved, **declared)
    return made


def uuid(number: int) -> UUID:
    return uuid5(_HERE, str(number))


UserFactory = of(
    User,
    username=make.Sequence(lambda number: f"user-{number}"),
)

ListenerFactory = of(
    Listener,
    event_type=EventType.SCHEDULED,
    secret_digest=make.Sequence(lambda number: f"{number:064x}"),
)

CampaignFactory = of(
    Campaign,
    reference=make.Sequence(lambda number: f"{500 + number}"),
)

ExecutionFactory = of(
    Execution,
    reference=make.Sequence(lambda number: f"{1000 + number}"),
    campaign=make.SubFactory(CampaignFactory),
    kind=ExecutionKind.SCHEDULED,
    state=ExecutionProgress.ACTIVATING,
)

DeliveryFactory = of(
    Delivery,
    listener=make.SubFactory(ListenerFactory),
    body=b'{"CampaignID": 1000, "ChannelID": 505}',
    content_type="application/json",
    verdict={"address": "known by its secret", "from": "192.0.2.1"},
    state=DeliveryState.READ,
)

TriggerFactory = of(
    Trigger,
    execution=make.SubFactory(ExecutionFactory, kind=ExecutionKind.TRIGGERED),
    customer=make.Sequence(lambda number: f"T{number}"),
    state=TriggerState.WAITING,
)

PromotionFactory = of(
    Promotion,
    reference=make.Sequence(lambda number: f"promotion-{number}"),
    code=make.Sequence(lambda number: f"CODE{number}"),
)

CollectionFactory = of(
    Collection,
    execution=make.SubFactory(ExecutionFactory),
    state=CollectionState.DONE,
    number=1,
    finished=1,
    pages=1,
)

AssignmentFactory = of(
    Assignment,
    execution=make.SubFactory(ExecutionFactory),
    promotion=make.SubFactory(PromotionFactory),
    reference=make.Sequence(lambda number: f"A{number}"),
    customer=make.Sequence(lambda number: f"C{number}"),
    vendor_status="Assigned",
    meaning=Meaning.ACTIVATE,
    as_assigned=make.LazyAttribute(
        lambda row: {
            "assignmentId": row.reference,
            "customerId": row.customer,
            "status": row.vendor_status,
        }
    ),
    reward={
        "category": "Bonus",
        "type": "Cash",
        "value": "10",
        "currency": "EUR",
        "unit": None,
        "tier": "Gold",
    },
    value="10",
    unit="EUR",
    state=AssignmentState.OWED,
    cleared=True,
    listed_pass=1,
    key=make.Sequence(uuid),
    assigned_at=make.LazyFunction(timezone.now),
    # Required in the state `ACTIVATING`.
    token=make.LazyAttribute(
        lambda row: row.key if row.state == AssignmentState.ACTIVATING else None
    ),
    lease_until=make.LazyAttribute(
        lambda row: timezone.now() if row.state == AssignmentState.ACTIVATING else None
    ),
    order=make.LazyAttribute(
        lambda row: (
            None if row.state == AssignmentState.OWED else {"customerId": row.customer}
        )
    ),
)

RetrialFactory = of(
    Retrial, form=make.Sequence(uuid), by=make.SubFactory(UserFactory), why="Mended."
)

AttemptFactory = of(
    Attempt,
    assignment=make.SubFactory(AssignmentFactory),
    number=make.Sequence(lambda number: number + 1),
    outcome=Attempt.Outcome.GIVEN,
    status=201,
)

ReportFactory = of(
    Report,
    size=1,
    is_batch=False,
    token=make.Sequence(uuid),
    outcome=Report.Outcome.ACCEPTED,
    status=200,
)

RedemptionFactory = of(
    Redemption,
    assignment=make.SubFactory(AssignmentFactory, state=AssignmentState.ACTIVE),
    execution=make.SelfAttribute("assignment.execution"),
    reference=make.Sequence(uuid),
    redeemed_at=make.LazyFunction(timezone.now),
    mode=ReportMode.SCHEDULED,
    state=RedemptionState.WAITING,
    token=make.LazyAttribute(
        lambda row: row.reference if row.state == RedemptionState.REPORTING else None
    ),
    lease_until=make.LazyAttribute(
        lambda row: timezone.now() if row.state == RedemptionState.REPORTING else None
    ),
)
