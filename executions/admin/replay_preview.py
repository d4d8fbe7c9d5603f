"""
A preview of processing deliveries again, which changes nothing.

The payload is parsed as a worker would parse it, and compared with the present rows. A
later app adds the effects on rewards, because this app must not import that app.
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

# Maximum number of deliveries that a preview parses: a payload can have a megabyte.
MAX_DELIVERIES = 20


@dataclass
class ReplayPreview:
    """The effect of some deliveries on the execution that they name."""

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
        """Return whether processing would fetch the execution's complete list."""
        return self._contains(Scheduled) and not self.is_over

    @property
    def cancels(self) -> bool:
        """Return whether processing would cancel an execution that is not cancelled."""
        return self._contains(Cancelled) and not self.is_over

    @property
    def customers(self) -> list[str]:
        """Return the customers that the notifications name, each once."""
        named = (each.customer for each in self.notices if isinstance(each, Triggered))
        return list(dict.fromkeys(named))

    @property
    def is_about_customers_alone(self) -> bool:
        return not (self._contains(Scheduled) or self._contains(Cancelled))

    def sentences(self) -> Iterator[str]:
        """Yield sentences about the effects, in the order in which they would occur."""
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

    def _contains(self, kind: type[Notice]) -> bool:
        return any(isinstance(each, kind) for each in self.notices)


@dataclass(frozen=True)
class Consequence:
    """The effects on the rows of a later app: present figures, and sentences."""

    facts: Sequence[Fact] = ()
    sentences: Sequence[str] = ()


Source = Callable[[ReplayPreview], Consequence]
_sources: list[Source] = []


def consequence(source: Source) -> Source:
    """Register a function of a later app that returns the effects on its rows."""
    _sources.append(source)
    return source


def consequences(preview: ReplayPreview) -> list[Consequence]:
    return [source(preview) for source in _sources]


def foresee(
    deliveries: Iterable[Delivery],
) -> tuple[list[ReplayPreview], list[tuple[Delivery, str]]]:
    """Return the effects of the deliveries, and the deliveries without any effect."""
    found: dict[str, ReplayPreview] = {}
    idle: list[tuple[Delivery, str]] = []
    for delivery in deliveries:
        notice = _why_not(delivery) or _notice(delivery)
        if isinstance(notice, str):
            idle.append((delivery, notice))
            continue
        if notice.occurrence not in found:
            found[notice.occurrence] = ReplayPreview(notice.occurrence)
        found[notice.occurrence].deliveries.append(delivery)
        found[notice.occurrence].notices.append(notice)
    return list(found.values()), idle


def _why_not(delivery: Delivery) -> str:
    """Return why a delivery is not parsed for the preview; empty if it is parsed."""
    if delivery.state == DeliveryState.UNREAD:
        return "It is still to be read, and would be left alone."
    if delivery.reason == ExecutionReason.POISON:
        return (
            "Reading it killed the worker, so it is not read for this page; a worker "
            "would try it again."
        )
    return ""


def _notice(delivery: Delivery) -> Scheduled | Triggered | Cancelled | str:
    """Return a delivery's notification, or the reason why it has no effect."""
    body, event_type = bytes(delivery.body), delivery.listener.event_type
    try:
        notice = notices.read(body, event_type=event_type)
    except notices.Unreadable as error:
        return f"It would be held again: {error}"
    if isinstance(notice, UnhandledEvent):
        return (
            f"It would be ignored: the portal does nothing about event {notice.name}."
        )
    return notice


def _when(state: str | None) -> str:
    if state is None:
        return ", for the first time"
    if state == TriggerState.WAITING:
        return ", who waits for it already, at once"
    return " anew"
