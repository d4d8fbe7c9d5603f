"""
Signals for changes. Each signal is sent inside the transaction of its change.

Each signal has the argument `row`: a delivery for `delivered`, otherwise an execution.
"""

from __future__ import annotations

from django.dispatch import Signal

delivered = Signal()  # a delivery was stored, or queued again
announced = Signal()  # a complete list was requested; also has `by`, `why`
triggered = Signal()  # assignments of triggered customers were requested
cancelled = Signal()  # an execution was cancelled; also has `by`, None for Optimove
resumed = Signal()  # staff resumed an execution; also has `by` and `seen`
