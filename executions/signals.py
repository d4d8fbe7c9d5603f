"""
What has become true; each is sent inside the transaction that made it so.

Each carries the row it is about as `row`.
"""

from __future__ import annotations

from django.dispatch import Signal

delivered = Signal()  # a delivery is kept, or to be read again
announced = Signal()  # an execution's list is to be collected, all of it; `by`, `why`
triggered = Signal()  # customers of an execution are to be asked for
cancelled = Signal()  # an execution is cancelled for good; `by` whom, or the vendor
resumed = Signal()  # an execution runs again, its limits let go; `by` whom
