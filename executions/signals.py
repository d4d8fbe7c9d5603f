"""
Signals for completed changes, each sent inside the transaction of the change.

Each carries the changed row as `row`.
"""

from __future__ import annotations

from django.dispatch import Signal

delivered = Signal()  # a delivery was stored, or is to be processed again
announced = Signal()  # an execution's complete list was requested; `by`, `why`
triggered = Signal()  # customers of an execution were requested
cancelled = Signal()  # an execution was cancelled; `by` is None for Optimove
resumed = Signal()  # an execution was resumed, its figures allowed; `by`
