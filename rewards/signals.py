"""
Signals for completed changes. Each is sent inside the transaction that made the change.

Except for `released`, a signal is sent once for many assignments: with one job per
assignment, a large campaign would fill the queue.
"""

from __future__ import annotations

from django.dispatch import Signal

collecting = Signal()  # assignments are to be fetched
owed = Signal()  # assignments can be claimed
cleared = Signal()  # more rows are to be cleared than fit in one batch
released = Signal()  # staff made the assignment `row` pending
retrying = Signal()  # a bulk retry is to be continued
activated = Signal()  # assignments were activated; `keys` are their primary keys
