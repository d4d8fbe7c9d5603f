"""
What reading deliveries again would do: told before it is done, and without doing it.

A body is read as a worker would read it, and what it says is held against what is here
now. What that means for rewards is told by later rooms, because this one must not know
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from executions import notices
from executions.models import (
    Delivery,
    DeliveryState,
    Execution,
    ExecutionReason,
    ExecutionStop,
    Trigger,
    TriggerState,
)
from executions.notices import Cancelled, Notice, Scheduled, Triggered, UnhandledEvent
from promoportal.admin.panels import Fact

# So many are looked at: a body may be a megabyte, and somebody waits for the page.
MAX_DELIVERIES = 20


@dataclass
class ReplayPreview:
    """What some deliveries would do about the one execution they name."""

    occurrence: str
    deliveries: list[Delivery] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = Execution.objects.filter(reference=self.occurrence)
        self.execution = rows.first()
        self.is_over = bool(
            self.execution and self.execution.stop == ExecutionStop.CANCELLED
        )

    @property
    def collects(self) -> bool:
        """Whether its whole list would be asked for."""
        return self._says(Scheduled) and not self.is_over

    @property
    def cancels(self) -> bool:
        """Whether it would be cancelled, and is not yet."""
        return self._says(Cancelled) and not self.is_over

    @property
    def customers(self) -> list[str]:
        """Whom Optimove would be asked for."""
        named = (each.customer for each in self.notices if isinstance(each, Triggered))
        return list(dict.fromkeys(named))

    @property
    def is_about_customers_alone(self) -> bool:
        return not (self._says(Scheduled) or self._says(Cancelled))

    def sentences(self) -> Iterator[str]:
        """What would happen, in the order in which it would."""
        yield self._joined()
        if self.collects:
            yield "Optimove would be asked for its whole list."
        yield from self._asked()
        if self.cancels:
            yield "It would be cancelled, for good."

    def _joined(self) -> str:
        if self.execution is None:
            return "It is not known here, and would be opened."
        if self.is_over:
            return "It is cancelled and stays so: nothing more of it would be given."
        if self.execution.stop == ExecutionStop.NONE:
            return "It is here already, and would be joined."
        stopped = str(self.execution.get_stop_display()).lower()
        return (
            f"It is here already, and would be joined. It is {stopped}: nothing of it "
            "is given until somebody resumes it."
        )

    def _asked(self) -> Iterator[str]:
        known = Trigger.objects.filter(
            execution=self.execution, customer__in=self.customers
        )
        states = dict(known.values_list("customer", "state"))
        for customer in self.customers:
            when = _when(states.get(customer))
            yield f"Optimove would be asked for customer {customer}{when}."

    def _says(self, kind: type[Notice]) -> bool:
        return any(isinstance(each, kind) for each in self.notices)


@dataclass(frozen=True)
class Plan:
    """What reading some deliveries again would do."""

    foreseen: Sequence[ReplayPreview]
    # Those that would announce nothing, each with the reason.
    idle: Sequence[tuple[Delivery, str]]
    # How many more there are, which were not looked at.
    unseen: int


@dataclass(frozen=True)
class Consequence:
    """What a later room has to tell about it: figures of now, and what changes."""

    facts: Sequence[Fact] = ()
    sentences: Sequence[str] = ()


Told = Callable[[ReplayPreview], Consequence]
_told: list[Told] = []


def also(tell: Told) -> Told:
    """Have a later room tell what follows for its rows."""
    _told.append(tell)
    return tell


def consequences(foreseen: ReplayPreview) -> list[Consequence]:
    return [tell(foreseen) for tell in _told]


def foresee(deliveries: Sequence[Delivery], *, of: int) -> Plan:
    """What reading these again would do, all together; there are so many in all."""
    found: dict[str, ReplayPreview] = {}
    idle: list[tuple[Delivery, str]] = []
    for delivery, said in _read(deliveries):
        if isinstance(said, str):
            idle.append((delivery, said))
            continue
        if said.occurrence not in found:
            found[said.occurrence] = ReplayPreview(said.occurrence)
        found[said.occurrence].deliveries.append(delivery)
        found[said.occurrence].notices.append(said)
    return Plan(list(found.values()), idle, of - len(deliveries))


def _read(
    deliveries: Iterable[Delivery],
) -> Iterator[tuple[Delivery, Scheduled | Triggered | Cancelled | str]]:
    """What each says, or why it would do nothing."""
    for delivery in deliveries:
        yield delivery, _why_not(delivery) or _said(delivery)


def _why_not(delivery: Delivery) -> str:
    if delivery.state == DeliveryState.UNREAD:
        return "It is still to be read, and would be left alone."
    if delivery.reason == ExecutionReason.POISON:
        return (
            "Reading it killed the worker, so it is not read for this page; a worker "
            "would try it again."
        )
    return ""


def _said(delivery: Delivery) -> Scheduled | Triggered | Cancelled | str:
    body, event_type = bytes(delivery.body), delivery.listener.event_type
    try:
        said = notices.read(body, event_type=event_type)
    except notices.Unreadable as error:
        return f"It would be held again: {error}"
    if isinstance(said, UnhandledEvent):
        return f"It would be ignored: the portal does nothing about event {said.name}."
    return said


def _when(state: str | None) -> str:
    if state is None:
        return ", for the first time"
    if state == TriggerState.WAITING:
        return ", who waits for it already, at once"
    return " anew"
