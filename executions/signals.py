"""What has become true; each is sent inside the transaction that made it so."""

from __future__ import annotations

from django.dispatch import Signal

delivered = Signal()  # a delivery is kept, or to be read again: delivery
announced = Signal()  # an execution's list is to be collected, all of it: execution
triggered = (
    Signal()
)  # customers of a triggered execution are to be asked for: execution
cancelled = Signal()  # an execution is cancelled for good: execution, by
resumed = Signal()  # an execution runs again, its limits let go: execution, by
